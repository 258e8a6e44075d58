"""Amazon Baby, Sports and Clothing (2014, 5-core) in the copies that the MMRec family shares."""

import dataclasses
from pathlib import Path

from mmjax.data.checks import DataError
from mmjax.data.index_arrays import read_index_arrays
from mmjax.data.interactions import SPLITS, Interactions, validate
from mmjax.data.mmrec import load_mmrec, read_features_of, read_ids_of
from mmjax.data.source import Source
from mmjax.data.splits import follows_mmrec

_ARRAYS = "interactions.npz"
_MODALITIES = ("image", "text")


def amazon(name: str, folder: str, *, sizes: tuple[int, int, int, int, int]) -> Source:
    """The source of an Amazon data set; `sizes` are the published numbers of users, items, and
    train, validation and test interactions (counted in the logs of georgeguo-cn/LGMRec).
    """
    return Source(
        name=name,
        version="1.0.0",
        homepage="https://github.com/enoche/MMRec",
        licence="Research use (Amazon review data of McAuley et al.); no licence file",
        modalities=_MODALITIES,
        read=lambda directory: read_amazon(directory, name, folder, sizes),
        folder=folder,
        interactions=(f"{folder}.inter", f"{folder}.inter.gz", _ARRAYS),
        origin=f"the data that MMRec (https://github.com/enoche/MMRec) links to, folder {folder}",
    )


def read_amazon(
    directory: Path, name: str, folder: str, sizes: tuple[int, int, int, int, int]
) -> Interactions:
    """The data set from `<folder>.inter` or, without it, from `interactions.npz`, with those of
    `image_feat.npy` and `text_feat.npy` that are there.

    Raises:
        DataError: a file is bad, or it is not the published split.
        FileNotFoundError: there is neither of the two.
    """
    if (directory / _ARRAYS).exists() and not list(directory.glob(f"{folder}.inter*")):
        data = _from_arrays(directory)
    else:
        data = load_mmrec(directory, name=folder)
    found = (data.n_users, data.n_items, *(len(data.pairs(split)) for split in SPLITS))
    if found != sizes:
        raise DataError(
            f"{directory}: {_sizes(found)}, but the published {name} has {_sizes(sizes)}; the copy "
            "is cut off or is another version: copy it again, or read it under a name of its own "
            "by mmjax.data.load_mmrec"
        )
    features = {key: array for key, array in data.features.items() if key in _MODALITIES}
    return dataclasses.replace(data, name=name, features=features, source=str(directory))


def _from_arrays(directory: Path) -> Interactions:
    """The split from plain index arrays.

    In the copy that DiffMM (HKUDS/DiffMM, `Datasets/baby`) publishes, the arrays called valid and
    test are exchanged against MMRec's split: its rule holds for every user only with the two
    swapped. The rule decides which way round the file is.
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
