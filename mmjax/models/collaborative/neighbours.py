"""Rankings without training: popularity, item-kNN by common users, item-kNN by content.

Each gives `Vectors`, whose inner products are the scores, for `mmjax.retriever.given_vectors`.

Axes: u users, i items, m features of a modality.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from scipy import sparse

from mmjax.blocks.common.projection import l2_normalise
from mmjax.models.common.task import Task
from mmjax.retriever import Vectors

_BLOCK = 1024


def popularity(task: Task) -> Vectors:
    """Every user ranks the items by their number of training interactions."""
    count = np.bincount(task.train[:, 1], minlength=task.n_items)
    return Vectors(jnp.ones((task.n_users, 1)), jnp.asarray(count[:, None], jnp.float32))


def _incidence(task: Task) -> sparse.csr_matrix:
    ones = np.ones(len(task.train), np.float32)
    shape = (task.n_users, task.n_items)
    return sparse.csr_matrix((ones, (task.train[:, 0], task.train[:, 1])), shape)


def item_knn(task: Task, k: int = 20, shrink: float = 10.0) -> Vectors:
    """Items by their summed similarity to the user's training items, k neighbours an item.

    Similarity of two items is the number of common users over the product of the square roots of
    their counts plus `shrink`. Users are their rows of the interaction matrix, so both tables
    hold n_items columns: meant for catalogues of thousands, not millions.
    """
    seen = _incidence(task)
    common = (seen.T @ seen).toarray()
    count = np.diag(common).copy()
    np.fill_diagonal(common, 0)
    similarity = common / (np.sqrt(count[:, None] * count[None]) + shrink)
    k = min(k, task.n_items - 1)
    weakest = -np.partition(-similarity, k - 1, axis=1)[:, k - 1 : k]
    similarity[similarity < weakest] = 0
    return Vectors(jnp.asarray(seen.toarray()), jnp.asarray(similarity))


def item_knn_content(
    task: Task,
    modalities: tuple[str, ...] = (),
    k: int = 10,
    shrink: float = 10.0,
    *,
    normalise: bool = True,
) -> Vectors:
    """Items by the summed similarity of their content to that of the user's training items.

    Similarity of two items is the inner product of their features, all modalities side by side,
    over the product of their norms plus `shrink`; a training item speaks for its `k` most similar
    items, itself included, as in MMRec's ItemKNNCBF. Tables as in `item_knn`.

    Args:
        task: training pairs and item features.
        modalities: which to read; none named means all.
        k: neighbours of an item.
        shrink: the larger, the less do items of small norm count; without effect on rows of
            length one.
        normalise: scale each modality's rows to length one first, so that none outweighs the others
            (MMRec reads them as published).

    Raises:
        ValueError: the data have no features, or lack a modality.
    """
    names = modalities or tuple(task.features)
    missing = [n for n in names if n not in task.features]
    if missing or not names:
        raise ValueError(f"item_knn_content: the data have {[*task.features]}, asked for {missing}")
    parts = [np.asarray(task.features[n], np.float32) for n in names]
    if normalise:
        parts = [np.asarray(l2_normalise(jnp.asarray(x))) for x in parts]
    # In float64, since the squares of long rows are beyond float32.
    x = np.concatenate(parts, axis=1).astype(np.float64)
    norm, k = np.linalg.norm(x, axis=1), min(k, task.n_items)
    similarity = np.zeros((task.n_items, task.n_items), np.float32)
    for first in range(0, task.n_items, _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = x[rows] @ x.T / (norm[rows, None] * norm[None] + max(shrink, 1e-12))
        nearest = np.argpartition(-block, k - 1, axis=1)[:, :k]
        kept = np.take_along_axis(block, nearest, 1)
        np.put_along_axis(similarity[rows], nearest, kept, 1)
    return Vectors(jnp.asarray(_incidence(task).toarray()), jnp.asarray(similarity.T))


HEURISTICS: dict[str, Callable[[Task], Vectors]] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "item_knn_content": item_knn_content,
}
MAX_ENTRIES = 2e8
"""Entries of the user-by-item matrix above which neighbours are left out of a table."""


def applicable(task: Task) -> dict[str, Callable[[Task], Vectors]]:
    """Those that the data allow: neighbours need memory, content needs features."""
    small = task.n_users * task.n_items <= MAX_ENTRIES
    allowed = {
        "popularity": True,
        "item_knn": small,
        "item_knn_content": small and bool(task.features),
    }
    return {name: build for name, build in HEURISTICS.items() if allowed[name]}
