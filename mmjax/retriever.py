"""The inference side of a method: queries in, the best candidates out, whatever is behind it.

Axes: b queries, k candidates of a result, m excluded pairs, u users, i items, d features.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Int, Integer

from mmjax.blocks.ranking.full_ranking import top_items
from mmjax.objective import Bound, Objective, Variables

SEED = 20_240
"""Seed of what a model draws at inference, the same for every evaluation of every run."""


class TopK(NamedTuple):
    """The best candidates of each query, best first."""

    ids: Int[Array, "b k"]
    """Candidates; -1 where there are fewer."""
    scores: Float[Array, "b k"]
    """Descending; -inf where there are fewer."""


# Fields are Any because JAX rebuilds pytrees with placeholders that are no arrays.
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Exclusion:
    """Candidates that are left out of the answers of some queries; a pytree.

    Attributes:
        pairs: int32[m, 2] (row of the queries, candidate); a row beyond the queries is padding.
            Pairs of one row stand together.
        most: most pairs of one row.
    """

    pairs: Any
    most: int = field(metadata={"static": True})

    def table(self, rows: int) -> Int[Array, "b _"]:
        """The candidates by row of the queries, padded with -1, for searches over a trie."""
        row, candidate = self.pairs[:, 0], self.pairs[:, 1]
        place = jnp.arange(len(row)) - jnp.searchsorted(row, row)
        empty = jnp.full((rows, max(1, self.most)), -1, jnp.int32)
        return empty.at[row, place].set(candidate, mode="drop")


def exclusion(pairs: Integer[np.ndarray, "m 2"]) -> Exclusion:
    """An `Exclusion` of (row of the queries, candidate) pairs in any order, made on the host."""
    pairs = np.asarray(pairs)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    most = int(np.bincount(pairs[:, 0]).max(initial=0)) if len(pairs) else 0
    return Exclusion(jnp.asarray(pairs, jnp.int32), most)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Retriever:
    """All that inference and evaluation need of a method; a pytree, as `Objective` is.

    Attributes:
        index: ``index(variables, key) -> pytree``, the part that does not depend on the queries
            and is computed once for the same variables: vectors of all users and items, the
            parameters themselves beside a trie. `key` is for models that draw.
        retrieve: ``retrieve(index, queries, exclude, *, k) -> TopK``; `queries` is a pytree whose
            leading axis are the queries (recommenders: int32 users ``[b]``), `exclude` an
            `Exclusion` or None.
        n_candidates: candidates, with ids ``0..n-1``.
        chunk: most queries that are answered at a time; None lets the caller choose by the memory
            that a score for each candidate takes.
    """

    index: Partial
    retrieve: Partial
    n_candidates: int = field(metadata={"static": True})
    chunk: int | None = field(default=None, metadata={"static": True})

    @classmethod
    def bind(
        cls,
        model: Any,
        inputs: Any,
        *,
        index: Callable[..., Any],
        retrieve: Callable[..., TopK],
        n_candidates: int,
        chunk: int | None = None,
    ) -> "Retriever":
        """A retriever whose functions read a model and a pytree of arrays before their own.

        Args:
            model: static and hashable, as for `Objective.bind`.
            inputs: pytree of arrays.
            index: ``index(model, inputs, variables, key)``.
            retrieve: ``retrieve(model, inputs, index, queries, exclude, *, k)``.
            n_candidates: candidates.
            chunk: see the class.
        """
        return cls(
            Partial(Bound(index, model), inputs),
            Partial(Bound(retrieve, model), inputs),
            n_candidates,
            chunk,
        )


class Model(NamedTuple):
    """A method on a task, ready to be trained and asked."""

    objective: Objective
    retriever: Retriever


class Vectors(NamedTuple):
    """Vectors of users, or of other queries by number, and of items."""

    users: Float[Array, "u d"]
    items: Float[Array, "i d"]


@jax.jit
def index_of(retriever: Retriever, variables: Variables) -> Any:
    """``retriever.index`` as a compiled program, with the fixed key of every evaluation."""
    return retriever.index(variables, jax.random.key(SEED))


def by_vectors(
    vectors: Callable[..., tuple[Array, Array]],
    model: Any,
    inputs: Any,
    n_items: int,
    *,
    score: Partial | None = None,
) -> Retriever:
    """Retrieval of items by a score of two vectors, exact and with equal scores by item id.

    Args:
        vectors: ``vectors(model, inputs, params, state, key) -> (users [u d], items [i d])``.
        model: static and hashable.
        inputs: pytree of arrays.
        n_items: items.
        score: ``score(users [b, d], items [i, d]) -> [b, i]``; None is the inner product.
    """
    index = Bound(_index_of_vectors, Bound(vectors, model))
    return Retriever(Partial(index, inputs), Partial(_nearest, score), n_items)


def given_vectors(n_items: int, *, score: Partial | None = None) -> Retriever:
    """A retriever whose variables are the `Vectors` themselves, such as those of a heuristic."""
    return Retriever(Partial(_themselves), Partial(_nearest, score), n_items)


def by_inner_product(retriever: Retriever) -> bool:
    """Whether it ranks by inner products of a vector for each user and each item."""
    return retriever.retrieve.func is _nearest and retriever.retrieve.args == (None,)


def numbered(retriever: Retriever, queries: Any) -> Retriever:
    """The retriever with queries by number: number n is row n of the pytree `queries`.

    An evaluator that deals numbered users to steps so also ranks texts, images or histories.
    """
    return Retriever(
        retriever.index,
        Partial(_by_number, retriever.retrieve, queries),
        retriever.n_candidates,
        retriever.chunk,
    )


def _by_number(
    retrieve: Partial,
    table: Any,
    index: Any,
    queries: Int[Array, "b"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    return retrieve(index, jax.tree.map(lambda x: x[queries], table), exclude, k=k)


def _index_of_vectors(vectors: Bound, inputs: Any, variables: Variables, key: Array) -> Vectors:
    state = {name: x for name, x in variables.items() if name != "params"}
    return Vectors(*vectors(inputs, variables["params"], state, key))


def _themselves(variables: Vectors, key: Array) -> Vectors:
    return Vectors(*variables)


def _nearest(
    score: Partial | None,
    vectors: Vectors,
    queries: Int[Array, "b"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    seen = None if exclude is None else exclude.pairs
    return TopK(*top_items(vectors.users[queries], vectors.items, seen, k=k, score=score))


_CHUNK = 1024


@functools.partial(jax.jit, static_argnames="k")
def _answer(
    retriever: Retriever, index: Any, queries: Any, exclude: Exclusion | None, *, k: int
) -> TopK:
    return retriever.retrieve(index, queries, exclude, k=k)


def retrieve(
    retriever: Retriever,
    variables: Variables,
    queries: Any,
    *,
    k: int,
    exclude: Integer[np.ndarray, "m 2"] | None = None,
) -> TopK:
    """The k best candidates of every query, a chunk of queries at a time.

    Args:
        retriever: of a model.
        variables: trained.
        queries: pytree of arrays whose leading axis are the queries; one at least.
        k: candidates of a query, 1 or more; where fewer are left, the rest is id -1.
        exclude: (query by number, candidate) pairs to leave out.

    Raises:
        ValueError: k is below 1, or the scores of a query are not numbers.
    """
    if k < 1:
        raise ValueError(f"retrieve: k = {k}; it must be 1 or more")
    index = index_of(retriever, variables)
    n = len(jax.tree.leaves(queries)[0])
    size = min(n, retriever.chunk or _CHUNK)
    found = []
    for start in range(0, n, size):
        # Rows that fill up the last chunk repeat earlier ones and are cut off.
        rows = np.arange(start, start + size) % n
        part = jax.tree.map(functools.partial(_rows, rows), queries)
        left_out = None
        if exclude is not None:
            mine = (exclude[:, 0] >= start) & (exclude[:, 0] < start + size)
            left_out = exclusion(exclude[mine] - np.array([[start, 0]]))
        found.append(_answer(retriever, index, part, left_out, k=k))
    result = jax.tree.map(lambda *parts: jnp.concatenate(parts)[:n], *found)
    unknown = ~(np.asarray(result.scores) < np.inf).all(1)
    if unknown.any():
        raise ValueError(
            f"retrieve: scores of {unknown.sum()} of {n} queries, the first of them query "
            f"{np.argmax(unknown)}, are no finite numbers, so nothing can be ranked: the variables "
            "diverged or are too large for float32; train again with a lower learning rate"
        )
    return result


def _rows(rows: np.ndarray, x: Any) -> Array:
    return jnp.asarray(x)[rows]
