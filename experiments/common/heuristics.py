"""Rankings without training, written as inner products so that one evaluation serves all."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import sparse

from mmjax.data.interactions import Interactions

Vectors = tuple[Array, Array]


def popularity(data: Interactions) -> Vectors:
    """Every user ranks the items by their number of training interactions."""
    count = np.bincount(data.train[:, 1], minlength=data.n_items)
    return jnp.ones((data.n_users, 1)), jnp.asarray(count[:, None], jnp.float32)


def item_knn(data: Interactions, k: int = 20, shrink: float = 10.0) -> Vectors:
    """Items by their summed similarity to the user's training items, k neighbours an item.

    Similarity of two items is the number of common users over the product of the square roots of
    their counts plus `shrink`. Users are their rows of the interaction matrix, so both tables
    hold n_items columns: meant for catalogues of thousands, not millions.
    """
    ones = np.ones(len(data.train), np.float32)
    shape = (data.n_users, data.n_items)
    seen = sparse.csr_matrix((ones, (data.train[:, 0], data.train[:, 1])), shape)
    common = (seen.T @ seen).toarray()
    count = np.diag(common).copy()
    np.fill_diagonal(common, 0)
    similarity = common / (np.sqrt(count[:, None] * count[None]) + shrink)
    k = min(k, data.n_items - 1)
    weakest = -np.partition(-similarity, k - 1, axis=1)[:, k - 1 : k]
    similarity[similarity < weakest] = 0
    return jnp.asarray(seen.toarray()), jnp.asarray(similarity)


HEURISTICS = {"popularity": popularity, "item_knn": item_knn}

MAX_ENTRIES = 2e8
"""Entries of the user-by-item matrix above which `item_knn` is left out of a table."""
