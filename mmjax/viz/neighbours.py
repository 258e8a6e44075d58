"""The nearest items by name.  Axes: i items, d features, q queries."""

import difflib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float


class Neighbour(NamedTuple):
    """An item near a query."""

    index: int
    title: str
    score: float


def find_title(titles: Sequence[str] | np.ndarray, name: str) -> int:
    """Index of the item called `name`, in any case of letters; the first if several are.

    Raises:
        KeyError: there is none; the message names titles that look alike.
    """
    wanted = name.casefold().strip()
    folded = [str(title).casefold().strip() for title in titles]
    if wanted in folded:
        return folded.index(wanted)
    similar = difflib.get_close_matches(wanted, folded, n=5, cutoff=0.5)
    inside = [title for title in folded if wanted and wanted in title and title not in similar]
    similar += inside[:5]
    hint = ", ".join(repr(str(titles[folded.index(title)])) for title in similar[:5])
    raise KeyError(f"no item is called {name!r}; close: {hint or 'none'}")


def nearest(
    embeddings: Float[np.ndarray, "i d"],
    queries: Sequence[int | str] | np.ndarray,
    titles: Sequence[str] | np.ndarray | None = None,
    *,
    k: int = 10,
    metric: Literal["cosine", "dot"] = "cosine",
) -> list[list[Neighbour]]:
    """The `k` items nearest to each query item, the query itself left out, nearest first.

    Args:
        embeddings: one row an item.
        queries: item indices, or titles (see `find_title`).
        titles: names of the items; by default their indices.
        k: how many; fewer where there are fewer other items.
        metric: "cosine" (a zero row has similarity 0 to all) or inner product.

    Raises:
        ValueError: other numbers of titles than rows, or an embedding is not finite.
        KeyError: a title is unknown.
        IndexError: an index is not a row.
    """
    count = len(embeddings)
    names = [str(row) for row in range(count)] if titles is None else [str(t) for t in titles]
    if len(names) != count:
        raise ValueError(f"{len(names)} titles for {count} rows of embeddings")
    if not np.isfinite(embeddings).all():
        row = int(np.argwhere(~np.isfinite(embeddings))[0, 0])
        raise ValueError(f"embedding row {row} ({names[row]}) is not finite")
    rows = [find_title(names, row) if isinstance(row, str) else int(row) for row in queries]
    wrong = [row for row in rows if not 0 <= row < count]
    if wrong:
        raise IndexError(f"item {wrong[0]} is not among the {count} items")
    x = np.asarray(embeddings, np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(norms > 0, norms, 1.0)
    result = []
    for row in rows:
        scores = x @ x[row]
        scores[row] = -np.inf
        order = np.argsort(-scores, kind="stable")[: min(k, count - 1)]
        result.append([Neighbour(int(j), names[j], float(scores[j])) for j in order])
    return result


def neighbour_table(queries: Sequence[str], neighbours: Sequence[Sequence[Neighbour]]) -> str:
    """The neighbours as text: a paragraph a query, one line a neighbour with its score."""
    blocks = []
    for query, near in zip(queries, neighbours, strict=True):
        width = max((len(item.title) for item in near), default=0)
        lines = [f"  {item.title:<{width}}  {item.score:6.3f}" for item in near]
        blocks.append("\n".join([query, *lines]))
    return "\n\n".join(blocks) + "\n"
