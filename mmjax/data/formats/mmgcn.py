"""Folders of the MMGCN family (MMGCN, GRCN, MetaMMF) turned into the MMRec format, once.

    python -m mmjax.data.formats.mmgcn SOURCE TARGET [--seed 0] [--offset N] [--split meta_mmf]

SOURCE holds ``user_item_dict*.npy``, a pickled dictionary from user to items, and a ``.npy``
matrix of features per modality (``v_feat.npy``, ``FeatureVideo_normal.npy``, ...). The dictionary
is read without unpickling it (see `mmjax.data.io.pickled`). TARGET, which must not exist, becomes a
folder that `load_mmrec` reads: plain text and plain arrays.

Some of these dictionaries count items from 0, others behind the users, as nodes of one graph. The
features tell which; where both fit, --offset has to say it.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.splits import partition, split_labels, split_name
from mmjax.data.formats.mmrec import save_mmrec
from mmjax.data.io.files import atomic_directory
from mmjax.data.io.pickled import read_plain_npy
from mmjax.data.io.readers import PathLike, read_features

_MODALITIES = {
    **dict.fromkeys(("v", "visual", "video", "image", "img"), "image"),
    **dict.fromkeys(("a", "audio", "acoustic"), "audio"),
    **dict.fromkeys(("t", "text", "textual"), "text"),
}
_FILLERS = {"", "avg", "normal", "sample", "stl"}


def read_user_items(path: PathLike) -> Int[np.ndarray, "e 2"]:
    """Distinct (user, item) pairs, ascending, of a pickled dictionary from user to items.

    Args:
        path: a `.npy` file that `numpy.save` made of a dict; its values are sets, lists, tuples
            or arrays of item ids.

    Raises:
        DataError: the file is no such file, or holds anything but these.
        FileNotFoundError: there is no such file.
    """
    content = read_plain_npy(path)
    if not isinstance(content, dict) or not content:
        raise DataError(
            f"{path}: {type(content).__name__}; give a dictionary from user to items with at "
            "least one user"
        )
    users = _ids(list(content), f"{path}: users")
    items = [_ids(values, f"{path}: items of user {u}") for u, values in content.items()]
    pairs = np.stack([np.repeat(users, list(map(len, items))), np.concatenate(items)], 1)
    return np.unique(pairs, axis=0)


def _ids(values: Any, where: str) -> Int[np.ndarray, "e"]:
    if not isinstance(values, list | tuple | set | np.ndarray):
        raise DataError(f"{where}: {type(values).__name__}; give a set or list of whole numbers")
    try:
        ids = np.asarray(list(values) if isinstance(values, set) else values)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: {error}; give a set or list of whole numbers") from error
    ids = ids if ids.size else np.zeros(0, np.int64)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or (len(ids) and ids.min() < 0):
        raise DataError(f"{where}: {ids.dtype}{list(ids.shape)}; give whole numbers from 0")
    return ids.astype(np.int64)


def modality_of(file: Path) -> str:
    """Name of the modality in a file name: "v_feat.npy" and "FeatureVideo_normal.npy" are image.

    Raises:
        DataError: several words could be it, or none.
    """
    words = re.split(r"[^a-z0-9]+", re.sub(r"features?|feat", "_", file.stem.lower()))
    words = [word for word in words if word not in _FILLERS]
    if len(words) != 1:
        raise DataError(f"{file}: which modality? rename the file, for example to image_feat.npy")
    return _MODALITIES.get(words[0], words[0])


def find_offset(
    pairs: Int[np.ndarray, "e 2"], n_users: int, n_items: int | None, *, where: str = "pairs"
) -> int:
    """Number to subtract from item ids: 0, or the number of users where items stand behind them.

    Args:
        pairs: (user, item) as in the file.
        n_users: number of users.
        n_items: rows of the features; None if there are none.
        where: name of the file for errors.

    Raises:
        DataError: neither fits the number of items, or both do.
    """
    first, last = int(pairs[:, 1].min()), int(pairs[:, 1].max())
    room = np.inf if n_items is None else n_items
    fitting = [offset for offset in (0, n_users) if first >= offset and last - offset < room]
    if len(fitting) == 1:
        return fitting[0]
    raise DataError(
        f"{where}: item ids {first}..{last} for {n_users} users and "
        f"{'an unknown number of' if n_items is None else n_items} items; "
        + ("they may count from 0 or behind the users" if fitting else "neither way fits")
        + f": say what to subtract by offset, 0 or {n_users}"
    )


def read_mmgcn(
    source: PathLike,
    *,
    name: str | None = None,
    interactions: PathLike | None = None,
    offset: int | None = None,
    split: str = "meta_mmf",
    seed: int = 0,
) -> Interactions:
    """A folder of the MMGCN family as a data set with a fresh split.

    Args:
        source: the folder.
        name: of the data set; that of the folder by default.
        interactions: the file of the dictionary, where `source` holds none or several.
        offset: what to subtract from item ids; None finds out by `find_offset`.
        split: a split without time, see `mmjax.data.core.splits`.
        seed: of the split.

    Raises:
        DataError: a file is missing, bad, or holds more than plain data.
        FileNotFoundError: there is no such folder.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    path = Path(interactions) if interactions is not None else _dictionary(folder)
    pairs, features = read_user_items(path), _features(folder)
    rows = {key: len(array) for key, array in features.items()}
    if len(set(rows.values())) > 1:
        raise DataError(f"{folder}: the modalities disagree on the number of items, {rows}")
    n_users, n_items = int(pairs[:, 0].max()) + 1, next(iter(rows.values()), None)
    if offset is None:
        offset = find_offset(pairs, n_users, n_items, where=str(path))
    pairs = pairs - [0, offset]
    if pairs.min() < 0 or pairs.max() >= 2**31:
        raise DataError(f"{path}: item ids less {offset} are negative or beyond 32 bits")
    pairs = pairs.astype(np.int32)
    train, valid, test = partition(pairs, split_labels(split, pairs[:, 0], seed=seed))
    data = Interactions(
        name=name or re.sub(r"\W+", "_", folder.resolve().name) or "data",
        split=split_name(split, seed),
        n_users=n_users,
        n_items=int(pairs[:, 1].max()) + 1 if n_items is None else n_items,
        train=train,
        valid=valid,
        test=test,
        features=features,
        source=str(folder),
    )
    return validate(data)


def _dictionary(folder: Path) -> Path:
    files = sorted(folder.glob("*user_item_dict*.npy"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise DataError(f"{folder}: needs one user_item_dict*.npy, found {names}; name the file")
    return files[0]


def _features(folder: Path) -> Mapping[str, np.ndarray]:
    files = [path for path in sorted(folder.glob("*.npy")) if "feat" in path.name.lower()]
    features: dict[str, np.ndarray] = {}
    for path in files:
        if (modality := modality_of(path)) in features:
            raise DataError(f"{path}: a second file of modality {modality}; keep one of them")
        features[modality] = read_features(path)
    return features


def convert(source: PathLike, target: PathLike, **options: Any) -> Interactions:
    """Read `source` by `read_mmgcn`, which takes the options, and write `target` whole or not.

    Raises:
        DataError: see `read_mmgcn`.
        FileExistsError: `target` exists.
    """
    if Path(target).exists():
        raise FileExistsError(f"{target}: exists; name a folder that does not")
    data = read_mmgcn(source, **options)
    with atomic_directory(target) as folder:
        save_mmrec(data, folder)
    return data


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m mmjax.data.formats.mmgcn", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("source", type=Path, help="folder with user_item_dict*.npy and features")
    parser.add_argument("target", type=Path, help="folder to write, which must not exist")
    parser.add_argument("--name", help="name of the data set (default: that of the folder)")
    parser.add_argument("--interactions", type=Path, help="the file of the dictionary")
    parser.add_argument("--offset", type=int, help="what to subtract from item ids")
    parser.add_argument("--split", default="meta_mmf", help="how to split (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    flags = vars(parser.parse_args(arguments))
    try:
        data = convert(flags.pop("source"), flags.pop("target"), **flags)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
