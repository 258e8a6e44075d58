"""A classifier whose rows grow with the documents: which rows compete, and the best of them.

A table of rows is made once with room for all; a count says how many are in use, so that one
program serves every stage.

Axes: b queries, n rows, d width, k found.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from mmjax.blocks.ranking.topk import top_k


def between(n: int, start: int | Int[Array, ""], stop: int | Int[Array, ""]) -> Bool[Array, "n"]:
    """Which of n rows lie in ``[start, stop)``, such as those of the current corpus."""
    row = jnp.arange(n)
    return (row >= start) & (row < stop)


def cross_entropy(
    logits: Float[Array, "b n"], label: Int[Array, "b"], where: Bool[Array, "n"] | None = None
) -> Float[Array, "b"]:
    """``-log softmax`` at the label, over the rows that compete.

    A row that does not compete counts as if it were not there and gets a gradient of exactly 0
    (``train_mask`` of L2P, arXiv 2112.08654, and PromptDSI, arXiv 2406.12593).

    Args:
        logits: of all rows.
        label: each query's row; infinite where it does not compete.
        where: rows that compete; None is all.
    """
    logits = logits.astype(jnp.float32)
    if where is not None:
        logits = jnp.where(where[None], logits, -jnp.inf)
    own = jnp.take_along_axis(logits, label[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(logits, axis=1) - own


def top_rows(
    features: Float[Array, "b d"],
    rows: Float[Array, "n d"],
    count: int | Int[Array, ""],
    *,
    k: int,
    block: int = 1 << 20,
) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """The k rows in use of the largest inner product, and these; ties by row order.

    Args:
        features: of the queries.
        rows: the table.
        count: rows in use.
        k: rows of a query; where fewer are in use, the rest is row -1, score -inf.
        block: rows whose logits are in memory at a time; longer tables go block by block.

    Raises:
        ValueError: k or `block` is below 1.
    """
    n = rows.shape[0]
    if block < 1:
        raise ValueError(f"top_rows: block = {block}; it must be 1 or more")
    if n <= block:
        return _best(features, rows, jnp.arange(n), count, k)
    steps = -(-n // block)

    def step(best: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], None]:
        # The last block reads backwards into the one before it, whose rows it leaves out.
        first = jnp.minimum(i * block, n - block)
        place = first + jnp.arange(block)
        part = lax.dynamic_slice_in_dim(rows, first, block)
        found = _best(features, part, jnp.where(place >= i * block, place, n), count, k)
        index, values = (jnp.concatenate(x, 1) for x in zip(best, found, strict=True))
        values, chosen = top_k(values, k)
        return (jnp.take_along_axis(index, chosen, 1), values), None

    nothing = jnp.full((features.shape[0], k), -1), jnp.full((features.shape[0], k), -jnp.inf)
    best, _ = lax.scan(step, nothing, jnp.arange(steps))
    return jnp.where(best[1] > -jnp.inf, best[0], -1), best[1]


def _best(
    features: Array, rows: Array, place: Array, count: int | Array, k: int
) -> tuple[Array, Array]:
    logits = jnp.einsum("bd,nd->bn", features, rows, preferred_element_type=jnp.float32)
    values, index = top_k(jnp.where((place < count)[None], logits, -jnp.inf), k)
    return jnp.where(values > -jnp.inf, place[index], -1), values
