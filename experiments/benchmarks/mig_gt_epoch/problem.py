"""Edges and features of Amazon Baby's size: the problem of both sides of `mig_gt_epoch`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Interactions and features to train on."""

    pairs: np.ndarray
    """int32[e, 2] user and item of every train edge, each once."""
    n_users: int
    n_items: int
    features: dict[str, np.ndarray]
    """float32[i, d]; the image features are not projected yet."""
    source: str


def problem(data: Path | None, *, smoke: bool = False) -> Problem:
    """Amazon Baby's sizes; its edges from `data`, else drawn with items of unequal popularity."""
    draw = np.random.default_rng(0)
    n_users, n_items, n_edges, widths = 19_445, 7_050, 118_551, {"text": 384, "image": 4096}
    if smoke:
        n_users, n_items, n_edges, widths = 300, 120, 2_000, {"text": 16, "image": 32}
    if data is not None and not smoke:
        with np.load(data / "interactions.npz") as file:
            pairs = np.stack([file["train_user"], file["train_item"]], axis=1)
            n_users, n_items = int(file["n_users"]), int(file["n_items"])
        source = "edges of interactions.npz"
    else:
        popularity = 1 / (10 + np.arange(n_items))
        items = draw.choice(n_items, size=2 * n_edges, p=popularity / popularity.sum())
        users = draw.integers(n_users, size=len(items))
        flat = draw.permutation(np.unique(users * n_items + items))[:n_edges]
        pairs, source = np.stack(np.divmod(flat, n_items), axis=1), "synthetic edges"
    features = {
        name: draw.standard_normal((n_items, width), np.float32) for name, width in widths.items()
    }
    return Problem(pairs.astype(np.int32), n_users, n_items, features, source)
