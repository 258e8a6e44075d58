"""Amazon Baby, Sports and Clothing (2014, 5-core) in the copies that the MMRec family shares."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions, validate
from mmjax.data.core.splits import follows_mmrec
from mmjax.data.formats.mmrec import load_mmrec, read_features_of, read_ids_of
from mmjax.data.io.index_arrays import read_index_arrays
from mmjax.data.sets.common.source import InteractionSource

OTHER_DRAW = "mmrec@other"
"""Split of a copy that follows MMRec's rule but was drawn anew: its results are near the published
ones by chance only.
"""

_ARRAYS = "interactions.npz"
_MODALITIES = ("image", "text")


@dataclass(frozen=True)
class Published:
    """Sizes of MMRec's release as the logs of georgeguo-cn/LGMRec count them: users, items, rows
    of train, validation and test, and the different items that occur in each.
    """

    users: int
    items: int
    rows: tuple[int, int, int]
    distinct: tuple[int, int, int]


def amazon(name: str, folder: str, published: Published) -> InteractionSource:
    """The source of an Amazon data set, `folder` being its name in the MMRec family."""
    return InteractionSource(
        name=name,
        homepage="https://github.com/enoche/MMRec",
        licence="Research use (Amazon review data of McAuley et al.); no licence file",
        modalities=_MODALITIES,
        read=lambda directory: read_amazon(directory, name, folder, published),
        folder=folder,
        interactions=(f"{folder}.inter", f"{folder}.inter.gz", _ARRAYS),
        origin=f"the data that MMRec (https://github.com/enoche/MMRec) links to, folder {folder}",
    )


def read_amazon(directory: Path, name: str, folder: str, published: Published) -> Interactions:
    """The data set from `<folder>.inter` or, without it, from `interactions.npz`, with those of
    `image_feat.npy` and `text_feat.npy` that are there.

    The split is called "mmrec" if it is the published one, told by the number of different items
    in each part, and `OTHER_DRAW` if it only has its sizes.

    Raises:
        DataError: a file is bad, or it is another version of the data set.
        FileNotFoundError: there is neither of the two.
    """
    if (directory / _ARRAYS).exists() and not list(directory.glob(f"{folder}.inter*")):
        data = _from_arrays(directory)
    else:
        data = load_mmrec(directory, name=folder)
    parts = [data.pairs(split) for split in SPLITS]
    expected = (published.users, published.items, *published.rows)
    sizes = (data.n_users, data.n_items, *map(len, parts))
    if sizes != expected:
        raise DataError(
            f"{directory}: {_sizes(sizes)}, but the published {name} has {_sizes(expected)}; the "
            "copy is cut off or is another version: copy it again, or read it under a name of its "
            "own by mmjax.data.load_mmrec"
        )
    distinct = tuple(len(np.unique(part[:, 1])) for part in parts)
    return dataclasses.replace(
        data,
        name=name,
        split="mmrec" if distinct == published.distinct else OTHER_DRAW,
        features={key: array for key, array in data.features.items() if key in _MODALITIES},
        source=str(directory),
    )


def _from_arrays(directory: Path) -> Interactions:
    """The split from plain index arrays.

    In the copy that DiffMM (HKUDS/DiffMM, `Datasets/baby`) publishes, MMRec's rule holds for every
    user only if the arrays called valid and test are exchanged. The rule decides which way round
    the file is.
    """
    path = directory / _ARRAYS
    n_users, n_items, train, valid, test = read_index_arrays(path)
    ids = read_ids_of(directory)
    # The ids have to be sound before anything is counted by them.
    data = validate(
        Interactions(
            name=_ARRAYS,
            split="mmrec",
            n_users=n_users,
            n_items=n_items,
            train=train,
            valid=valid,
            test=test,
            features=read_features_of(directory),
            user_ids=ids["user_ids"],
            item_ids=ids["item_ids"],
        ),
        names={split: f"{path} ({split})" for split in SPLITS},
    )
    if follows_mmrec(train, valid, test, n_users):
        return data
    if follows_mmrec(train, test, valid, n_users):
        return dataclasses.replace(data, valid=test, test=valid)
    raise DataError(
        f"{path}: not MMRec's split (per user below 10 interactions one for validation and one for "
        "test, otherwise a fifth held out, half of it each), whichever way round valid and test "
        "are taken; use the published file"
    )


def _sizes(sizes: tuple[int, ...]) -> str:
    users, items, *parts = (f"{size:,}" for size in sizes)
    return f"{users} users, {items} items, {'/'.join(parts)} train/valid/test"
