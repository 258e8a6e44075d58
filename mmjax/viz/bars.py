"""A leaderboard as bars with error bars."""

from typing import TYPE_CHECKING

from mmjax.viz import style
from mmjax.viz.tables import Table

if TYPE_CHECKING:
    import matplotlib.axes


def bars(
    table: Table,
    metric: str,
    *,
    order: bool = True,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Draw one metric of a leaderboard: a bar a method with one standard deviation over seeds.

    A published number stands as an open diamond on the bar of its method. The bar of a winner
    (see `tables.leaderboard`) is drawn in full colour, the others paler; without a winner all are
    alike. With `order`, the best method stands on top; else the order of the table is kept.

    Raises:
        ValueError: no row of the table has the metric.
    """
    lines = [line for line in table.lines if metric in line.cells or metric in line.paper]
    if not lines:
        raise ValueError(f"no row has {metric!r}; the table has {', '.join(table.metrics)}")
    if order:
        sign = -1.0 if style.higher_is_better(metric) else 1.0
        lines.sort(key=lambda line: sign * _height(line, metric))
    ax = style.axes_or_new(ax, (5.0, 0.9 + 0.36 * len(lines)))
    won = any(line.cells[metric].best for line in lines if metric in line.cells)
    shown = 0.0
    for place, line in enumerate(lines):
        cell, published = line.cells.get(metric), line.paper.get(metric)
        edge = 0.0
        if cell is not None:
            alpha = 1.0 if cell.best or not won else 0.45
            ax.barh(place, cell.mean, 0.62, color=style.colour(0), alpha=alpha, linewidth=0)
            spread = cell.std if cell.runs > 1 else 0.0
            if spread:
                ax.errorbar(cell.mean, place, xerr=spread, color=style.INK, capsize=3, lw=1.2)
            edge = cell.mean + spread
        if published is not None:
            # On the edge of the bar, where it leaves the error bar free.
            look = {"color": style.INK, "markerfacecolor": "none", "markersize": 5.5}
            ax.plot(published, place + (0.31 if cell is not None else 0.0), "D", **look)
            edge = max(edge, published)
        value = style.number(_height(line, metric), table.digits)
        ax.annotate(
            value if cell is not None else f"{value} (paper)",
            (edge, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=style.INK,
            fontsize=9,
        )
        shown = max(shown, edge)
    ax.set_yticks(range(len(lines)), [style.plain(line.name) for line in lines])
    ax.set_ylim(len(lines) - 0.45, -0.55)
    ax.set_xlim(0.0, 1.16 * shown or 1.0)
    ax.set_xlabel(style.metric_label(metric) + _key(lines, metric))
    style.tidy(ax, grid="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _height(line, metric: str) -> float:
    cell = line.cells.get(metric)
    return cell.mean if cell is not None else line.paper[metric]


def _key(lines, metric: str) -> str:
    parts = []
    if any(line.cells[metric].runs > 1 for line in lines if metric in line.cells):
        parts.append("bar: mean \u00b1 std over seeds")
    if any(metric in line.paper for line in lines):
        parts.append("\u25c7 published")
    return f"   ({', '.join(parts)})" if parts else ""
