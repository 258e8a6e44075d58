"""The look of all pictures: colours, quiet axes, labels, numbers as papers print them."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsFloat

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

PALETTE = ("#1046cc", "#9a2a1c", "#1b8261", "#be37b2", "#7f8700", "#45404d")
"""Series colours on white: told apart under the three forms of colour blindness."""
PALETTE_DARK = ("#95d2fb", "#e8973f", "#5ef4c0", "#de6bff", "#f6e58b", "#a193ac")
"""The same series on a dark page."""
DASHES = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (1.6, 1.4)))
"""A second mark of a series, for print without colours."""
INK, MUTED, GRID = "#1f2430", "#6a7180", "#d9dde4"
MISSING = "\u2013"
"""Stands where there is no number."""

_UPPER = {"ndcg", "map", "hr", "mrr", "auc", "bpr", "tur"}
_FALLING = ("loss", "error", "perplexity", "seconds")


def colour(index: int) -> str:
    """Colour of series number `index`; after the sixth they begin again."""
    return PALETTE[index % len(PALETTE)]


def dashes(index: int) -> str | tuple:
    """Line style of series number `index`, in step with `colour`."""
    return DASHES[index % len(DASHES)]


def number(value: SupportsFloat | None, digits: int = 4) -> str:
    """`value` without the zero before the point, as papers print metrics: 0.0754 gives ".0754".

    None and values that are not finite give a dash.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return re.sub(r"^(-?)0\.", r"\1.", text)


def plain(text: str) -> str:
    """`text` for matplotlib, which reads what stands between two dollar signs as a formula."""
    return text.replace("$", r"\$")


def metric_label(metric: str) -> str:
    """Name of a metric in a picture: "valid/ndcg@20" gives "NDCG@20 (valid)"."""
    *scope, name = metric.split("/")
    head, at, cut = name.partition("@")
    words = [word.upper() if word in _UPPER else word for word in head.split("_")]
    title = " ".join(words)
    title = title[:1].upper() + title[1:] + at + cut
    return f"{title} ({' '.join(scope)})" if scope else title


def higher_is_better(metric: str) -> bool:
    """True unless the name speaks of losses, errors or seconds, which should fall."""
    return not any(word in metric.lower() for word in _FALLING)


def canvas(
    rows: int = 1, columns: int = 1, *, size: tuple[float | int, float | int] | None = None
) -> tuple["matplotlib.figure.Figure", list["matplotlib.axes.Axes"]]:
    """A figure outside pyplot and its axes row by row: nothing shows or keeps it by itself.

    `size` is in inches; by default 5 x 3.2 a panel.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (5.0 * columns, 3.2 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def axes_or_new(
    ax: "matplotlib.axes.Axes | None", size: tuple[float | int, float | int] = (5.0, 3.2)
) -> "matplotlib.axes.Axes":
    """`ax` itself, or the axes of a new pyplot figure of `size` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def panels_or_new(
    axes: Sequence["matplotlib.axes.Axes"] | None, count: int, size: tuple[float | int, float | int]
) -> list["matplotlib.axes.Axes"]:
    """`axes` as a list, or `count` new ones side by side, each of `size` inches.

    Raises:
        ValueError: `axes` are fewer than `count`.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        figsize = (size[0] * count, size[1])
        _, made = plt.subplots(1, count, figsize=figsize, squeeze=False, layout="constrained")
        return list(made.flat)
    if len(axes) < count:
        raise ValueError(f"{count} panels to draw but {len(axes)} axes given; pass one per panel")
    return list(axes)[:count]


def tidy(ax: "matplotlib.axes.Axes", *, grid: str = "y") -> None:
    """Leave of the frame what carries information; a faint grid along `grid` ("x", "y" or "")."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(MUTED)
        ax.spines[side].set_linewidth(0.8)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9, width=0.8, length=3)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    ax.title.set_color(INK)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis="x" if grid == "x" else "y", color=GRID, linewidth=0.7)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move `positions` apart, as little as needed, until each two are at least `gap` apart.

    The order is kept; a crowded group ends centred on its mean.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    groups: list[list[int]] = []

    def span(group: list[int]) -> tuple[float, float]:
        middle = sum(positions[index] for index in group) / len(group)
        half = gap * (len(group) - 1) / 2
        return middle - half, middle + half

    for index in order:
        groups.append([index])
        while len(groups) > 1 and span(groups[-1])[0] - span(groups[-2])[1] < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = [0.0] * len(positions)
    for group in groups:
        low, _ = span(group)
        for place, index in enumerate(group):
            moved[index] = low + gap * place
    return moved


def end_labels(
    ax: "matplotlib.axes.Axes", ends: Sequence[tuple[float, float, str, str]], size: float = 9.0
) -> None:
    """Write each ``(x, y, text, colour)`` at the height of its point, right of the last point.

    Direct labels in place of a legend, moved apart where they would overlap. Call it last: where
    they do depends on the limits and on the height of the axes at that moment.
    """
    if not ends:
        return
    # Asking for the limits carries out the autoscaling that is due; the transform alone does not.
    _ = ax.get_xlim(), ax.get_ylim()
    scale = 72.0 / ax.figure.dpi
    heights = [float(ax.transData.transform((x, y))[1]) * scale for x, y, _, _ in ends]
    right = max(end[0] for end in ends)
    for (_, y, text, ink), height, goal in zip(
        ends, heights, spread(heights, 1.25 * size), strict=True
    ):
        ax.annotate(
            plain(text),
            (right, y),
            xytext=(6.0, goal - height),
            textcoords="offset points",
            va="center",
            color=ink,
            fontsize=size,
            annotation_clip=False,
        )
