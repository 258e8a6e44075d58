"""Interactions as plain index arrays in one `.npz`: n_users, n_items, <split>_user, <split>_item.

Axes: e interactions.
"""

import numpy as np

from mmjax.data.core.checks import DataError, check_ids
from mmjax.data.core.interactions import SPLITS
from mmjax.data.io.readers import PathLike, read_npz

_KEYS = (
    "n_users",
    "n_items",
    *(f"{split}_{side}" for split in SPLITS for side in ("user", "item")),
)


def read_index_arrays(path: PathLike) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
    """Number of users and items, and the int32 pairs ``[e 2]`` of train, valid and test.

    Raises:
        DataError: the file is damaged, lacks an array, or one is not of integers, is not flat,
            has another length than its partner, or holds an id out of range.
        FileNotFoundError: there is no such file.
    """
    arrays = read_npz(path, _KEYS)
    for key, array in arrays.items():
        ndim = 0 if key.startswith("n_") else 1
        if not np.issubdtype(array.dtype, np.integer) or array.ndim != ndim:
            raise DataError(
                f"{path}: {key} is {array.dtype}{list(array.shape)}; give "
                + ("an integer" if ndim == 0 else "a flat array of integers")
            )
    parts = []
    for split in SPLITS:
        user, item = arrays[f"{split}_user"], arrays[f"{split}_item"]
        if len(user) != len(item):
            raise DataError(
                f"{path}: {len(user)} entries in {split}_user, {len(item)} in {split}_item; entry "
                "k of both is interaction k, so the file is damaged: copy or make it again"
            )
        for side, ids in (("user", user), ("item", item)):
            count = int(arrays[f"n_{side}s"])
            check_ids(ids, where=f"{path}, {split}_{side}", what=f"{side} id", count=count)
        parts.append(np.stack([user, item], axis=1).astype(np.int32))
    return int(arrays["n_users"]), int(arrays["n_items"]), *parts
