"""Ids for the rows of a table of vectors: fitting, coding, judging.

Axes: n rows, l levels of the quantiser, m levels of an id, d features.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Integer

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation import codebooks as statistics
from mmjax.blocks.quantisation import encoding
from mmjax.blocks.quantisation.codes import squared_distances
from mmjax.blocks.quantisation.kmeans import residual_kmeans
from mmjax.blocks.quantisation.sinkhorn import balanced
from mmjax.data.core.checks import DataError
from mmjax.errors import UserError
from mmjax.semantic_ids import policies
from mmjax.semantic_ids.table import SidTable, arrays_sha256, check_levels, suggest_sizes

_MIN_USE = 0.5
_BALANCED = jax.jit(balanced)


class SidCollapse(UserError):
    """The ids do not tell the items apart well enough to train on."""


def fit_sids(
    x: Float[np.ndarray, "n d"],
    *,
    sizes: Sequence[int] | None = None,
    policy: str = "append_index",
    item_ids: Sequence[str] | Sequence[int] | np.ndarray | None = None,
    popularity: Integer[np.ndarray, "n"] | None = None,
    normalise: bool = False,
    rounds: int = 20,
    seed: int = 0,
) -> SidTable:
    """Ids by residual k-means, which needs no training loop (RQ-KMeans: arXiv 2502.18965).

    Args:
        x: a vector for each item.
        sizes: codes of each level; None takes `suggest_sizes(n)`.
        policy: what to do about items of equal codes, see `mmjax.semantic_ids.policies`.
        item_ids: raw ids of the rows, each once; None numbers them.
        popularity: training interactions of the items, for "append_popularity".
        normalise: scale vectors to length one first.
        rounds: of k-means.
        seed: of its first centres.

    Raises:
        DataError: vectors that are not finite, no rows, or a policy that lacks what it needs.
        ValueError: a level has more codes than there are rows.
    """
    x = _checked(x)
    if sizes is None:
        sizes = [min(size, len(x)) for size in suggest_sizes(len(x))]
    scaled = _scaled(x, normalise)
    books, codes = residual_kmeans(jax.random.key(seed), scaled, sizes, rounds=rounds)
    residual = scaled - encoding.decode(codes[:, :-1], books[:-1]) if len(sizes) > 1 else scaled
    return assign(
        np.asarray(codes),
        sizes,
        policy=policy,
        item_ids=item_ids,
        popularity=popularity,
        last=(np.asarray(residual), np.asarray(books[-1])),
        seed=seed,
        features=arrays_sha256(x),
        codebooks=[np.asarray(book) for book in books],
        normalise=normalise,
    )


def assign(
    codes: Integer[np.ndarray, "n l"],
    sizes: Sequence[int],
    *,
    policy: str = "append_index",
    item_ids: Sequence[str] | Sequence[int] | np.ndarray | None = None,
    popularity: Integer[np.ndarray, "n"] | None = None,
    last: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
    features: str = "",
    codebooks: Sequence[np.ndarray] = (),
    normalise: bool = False,
) -> SidTable:
    """The table of codes that any quantiser made, with items of equal codes told apart.

    Args:
        codes: by item.
        sizes: codes of each level.
        policy: see `mmjax.semantic_ids.policies`.
        item_ids: raw ids; None numbers the rows.
        popularity: training interactions of the items, for "append_popularity".
        last: what the last level quantises, ``[n, d]``, and its codebook, for "next_nearest" and
            "sinkhorn_reassign".
        seed: for "random_free".
        features: hash of what was encoded.
        codebooks: of the levels, if sums of their rows are the vectors.
        normalise: vectors are scaled to length one before they are encoded by the codebooks.

    Raises:
        DataError: the policy is unknown or lacks what it needs, or the codes do not fit the sizes.
    """
    codes, sizes = np.asarray(codes), tuple(int(size) for size in sizes)
    if policy == "append_popularity":
        if popularity is None or len(popularity) != len(codes):
            raise DataError("append_popularity needs popularity=, a count for each item")
        final = policies.append_popularity(codes, np.asarray(popularity))
    elif policy == "append_index":
        final = policies.append_index(codes)
    elif policy == "share":
        final = policies.share(codes)
    elif policy == "random_free":
        final = policies.random_free(codes, size=sizes[-1], seed=seed)
    elif policy in ("next_nearest", "sinkhorn_reassign"):
        if last is None:
            raise DataError(f"{policy} needs last=, the last level's residuals and codebook")
        final = _moved(codes, policy, *last)
    else:
        raise DataError(f"policy {policy!r}: choose one of {', '.join(policies.POLICIES)}")
    if final.shape[1] > len(sizes):
        sizes = (*sizes, int(final[:, -1].max()) + 1)
    return SidTable(
        codes=final,
        sizes=sizes,
        policy=policy,
        item_ids=np.arange(len(codes)) if item_ids is None else np.asarray(item_ids),
        features=features,
        quantiser=arrays_sha256(*codebooks) if codebooks else "",
        codebooks=tuple(codebooks),
        normalise=normalise,
    )


def _moved(codes: np.ndarray, policy: str, residual: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Codes whose last level avoids what is taken."""
    rows, centres = jnp.asarray(residual), jnp.asarray(book)
    if policy == "next_nearest":
        return policies.next_nearest(codes, np.asarray(squared_distances(rows, centres)))

    def spread(items: np.ndarray) -> np.ndarray:
        # Groups of few sizes: each needs a program of its own.
        size = 1 << (len(items) - 1).bit_length()
        real = np.arange(size) < len(items)
        return np.asarray(_BALANCED(rows[np.resize(items, size)], centres, where=real))[real]

    return policies.sinkhorn_reassign(codes, spread)


def encode(table: SidTable, x: Float[np.ndarray, "n d"]) -> Int[np.ndarray, "n l"]:
    """Codes of new vectors by the table's codebooks, for `SidTable.with_items`.

    Raises:
        DataError: the table has no codebooks, or the vectors another width or no finite values.
    """
    books = _books(table)
    x = _checked(x)
    if x.shape[1] != books[0].shape[1]:
        raise DataError(f"encode: vectors of width {x.shape[1]}, codebooks of {books[0].shape[1]}")
    return np.asarray(encoding.encode(_scaled(x, table.normalise), books))


def decode(table: SidTable, codes: Integer[np.ndarray, "n _"]) -> Float[np.ndarray, "n d"]:
    """The vectors that ids stand for; a token that only tells items apart adds nothing.

    Args:
        table: with codebooks.
        codes: whole ids, or those of the quantiser's levels, each in [0, size of its level).

    Raises:
        DataError: the table has no codebooks, or a code is outside its level, such as a token
            with an offset a level or the -1 of a beam that ended.
    """
    books = _books(table)
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] not in (table.levels, len(table.sizes)):
        raise DataError(
            f"decode: codes of shape {list(codes.shape)}; give a row an item with {table.levels} "
            f"columns, or the {len(table.sizes)} of whole ids"
        )
    rows = codes[:, : table.levels]
    check_levels(rows, table.sizes[: table.levels], where="decode")
    return np.asarray(encoding.decode(jnp.asarray(rows), books))


def quality(
    table: SidTable, categories: Integer[np.ndarray, "n"] | Sequence[str] | None = None
) -> dict[str, float]:
    """Figures of ids that need no trained generator, by slash names.

    Use of the codes and, with `categories`, purity of every level of the quantiser; collisions of
    whole ids, with the token that tells items apart left out and in.

    Args:
        table: the ids.
        categories: of the items, numbers or names.
    """
    codes = jnp.asarray(table.codes[:, : table.levels])
    groups = None
    if categories is not None:
        groups = jnp.asarray(np.unique(np.asarray(categories), return_inverse=True)[1])
    figures = statistics.summary(codes, table.sizes[: table.levels], groups)
    numbers = {name: float(value) for name, value in figures.items()}
    return numbers | {"table/collision_rate": float(table.collision_rate)}


def check(table: SidTable, *, min_use: float = _MIN_USE, max_collisions: float = 0.5) -> None:
    """Refuse ids that have collapsed.

    Args:
        table: the ids.
        min_use: every level must use this share of the codes that its items could fill.
        max_collisions: largest share of collisions before any policy.

    Raises:
        SidCollapse: says which level uses how many codes, and what helps.
    """
    numbers, faults = quality(table), []
    for level, size in enumerate(table.sizes[: table.levels], start=1):
        used = numbers[f"level_{level}/utilisation"] * size
        possible = min(size, len(table.codes))
        if used < min_use * possible:
            faults.append(f"level {level} uses {used:.0f} of {size} codes")
    remedies = []
    if faults:
        remedies += [
            "start the codebooks by k-means, revive dead codes, or give reconstruction and "
            "quantiser the same reduction"
        ]
    if numbers["ids/collision_rate"] > max_collisions:
        faults.append(f"{numbers['ids/collision_rate']:.0%} of the items repeat another's codes")
        # Fewer codes would only make more items alike.
        remedies.append("give the levels more codes or add a level")
    if faults:
        raise SidCollapse(
            f"the ids have collapsed: {'; '.join(faults)}. Remedy: {'; '.join(remedies)}"
        )


def report(
    table: SidTable, categories: Integer[np.ndarray, "n"] | Sequence[str] | None = None
) -> str:
    """`quality` as lines to print, a level a line."""
    numbers = quality(table, categories)
    lines = [
        f"{len(table.codes):,} items, {' x '.join(map(str, table.sizes))} codes, {table.policy}"
    ]
    for level in range(1, table.levels + 1):
        part = _of_level(numbers, level)
        words = [f"uses {part['utilisation']:.0%}", f"perplexity {part['perplexity']:.1f}"]
        if "purity" in part:
            words.append(f"category purity {part['purity']:.2f}")
        lines.append(f"level {level}: {', '.join(words)}")
    lines.append(
        f"ids: {numbers['ids/collision_rate']:.2%} collide, largest group "
        f"{numbers['ids/largest_group']:.0f}; after {table.policy} "
        f"{numbers['table/collision_rate']:.2%}"
    )
    return "\n".join(lines)


def _of_level(numbers: Mapping[str, float], level: int) -> dict[str, float]:
    head = f"level_{level}/"
    return {name.removeprefix(head): x for name, x in numbers.items() if name.startswith(head)}


def _scaled(x: np.ndarray, normalise: bool) -> jax.Array:
    rows = jnp.asarray(x)
    return l2_normalise(rows) if normalise else rows


def _books(table: SidTable) -> list[jax.Array]:
    if not table.codebooks:
        raise DataError(
            "this table has no codebooks: a network made its codes; encode by that network"
        )
    return [jnp.asarray(book) for book in table.codebooks]


def _checked(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 2 or not x.size:
        raise DataError(f"vectors of shape {list(x.shape)}; give a row an item")
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise DataError(f"row {int(bad.argmax())} is not finite; {int(bad.sum())} such rows")
    return x.astype(np.float32)
