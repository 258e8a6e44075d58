"""Evenness of the use of codes by semantic ids, level by level.

Axes: n items, l levels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from mmjax.viz import style

if TYPE_CHECKING:
    import matplotlib.axes


class CodeUsage(NamedTuple):
    """One level's codes, most used first."""

    items: Int[np.ndarray, "k"]
    """Items of each code, falling; unused codes last."""
    perplexity: float
    """As many equally used codes would have this entropy."""


def code_usage(codes: Integer[np.ndarray, "n l"], sizes: Sequence[int]) -> list[CodeUsage]:
    """Use of the codes of every level.

    Raises:
        ValueError: the sizes are not one a level, or a code is outside them.
    """
    codes = np.asarray(codes)
    if codes.shape[1] != len(sizes) or (codes >= np.array([sizes])).any() or (codes < 0).any():
        raise ValueError(f"codes of {codes.shape[1]} levels do not fit the sizes {tuple(sizes)}")
    levels = []
    for column, size in zip(codes.T, sizes, strict=True):
        count = np.sort(np.bincount(column, minlength=size))[::-1]
        p = count[count > 0] / len(codes)
        levels.append(CodeUsage(count, float(np.exp(-(p * np.log(p)).sum()))))
    return levels


def draw_code_usage(
    codes: Integer[np.ndarray, "n l"],
    sizes: Sequence[int],
    *,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Items of each code by its rank within the level, against even use; unused codes lie at zero.

    Raises:
        ValueError: see `code_usage`.
    """
    ax = style.axes_or_new(ax, (5.0, 3.2))
    for level, (size, use) in enumerate(zip(sizes, code_usage(codes, sizes), strict=True)):
        used = int((use.items > 0).sum())
        rank = (np.arange(size) + 0.5) / size
        label = f"level {level + 1}: {used} of {size}, perplexity {use.perplexity:.0f}"
        even = len(codes) / size
        look = {"color": style.colour(level), "linestyle": style.dashes(level)}
        ax.plot(rank, use.items / even, label=label, **look)
    ax.axhline(1.0, color=style.MUTED, linewidth=0.8)
    ax.set(xlabel="share of the level's codes, most used first", ylabel="items, over even use")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax
