"""Heat maps of a metric over two settings, or three: a panel for each value of the third.

Axes: p panels, r rows, c columns.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mmjax.viz import style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.collections

COLOURS = "cividis"
"""Even in brightness and the same to colour-blind readers."""


class MetricGrid(NamedTuple):
    """A metric for each combination of settings; NaN where nothing was run."""

    panels: tuple[Any, ...]
    """Values of the third setting, rising; one None where there is none."""
    rows: tuple[Any, ...]
    columns: tuple[Any, ...]
    mean: Float[np.ndarray, "p r c"]
    std: Float[np.ndarray, "p r c"]
    """Sample standard deviation over repeats; 0 for a single one."""
    runs: Int[np.ndarray, "p r c"]


def metric_grid(
    records: Iterable[Mapping[str, Any]],
    *,
    row: str,
    column: str,
    metric: str,
    panel: str | None = None,
) -> MetricGrid:
    """Sort results such as ``{"layers": 2, "rate": 0.1, "loss": .38}`` into a grid.

    Several records of one combination, such as seeds, are averaged.

    Args:
        records: one mapping a result.
        row, column, panel: names of the entries that hold the settings, which can be sorted;
            without `panel` there is one panel.
        metric: name of the entry that holds the number.

    Raises:
        ValueError: there is no record, or one lacks an entry (the message says which).
    """
    cells: dict[tuple[Any, Any, Any], list[float]] = {}
    for count, record in enumerate(records):
        wanted = [name for name in (panel, row, column, metric) if name is not None]
        lacking = [name for name in wanted if name not in record]
        if lacking:
            raise ValueError(f"record {count} lacks {', '.join(lacking)}; it has {list(record)}")
        settings = None if panel is None else record[panel], record[row], record[column]
        cells.setdefault(settings, []).append(float(record[metric]))
    if not cells:
        raise ValueError("no records to make a grid of")
    panels, rows, columns = (tuple(sorted({s[axis] for s in cells})) for axis in range(3))
    shape = len(panels), len(rows), len(columns)
    mean, std, runs = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, np.int64)
    for (one, two, three), values in cells.items():
        at = panels.index(one), rows.index(two), columns.index(three)
        mean[at], runs[at] = np.mean(values), len(values)
        std[at] = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return MetricGrid(panels, rows, columns, mean, std, runs)


def best_cells(
    mean: Float[np.ndarray, "*n"], *, noise: float = 0.0, higher_is_better: bool = True
) -> tuple[tuple[int, ...] | None, np.ndarray]:
    """Index of the best entry (None if all are NaN), and which entries lie within `noise` of it.

    `noise` is an absolute difference, such as two standard deviations over seeds.
    """
    score = mean if higher_is_better else -mean
    if np.isnan(score).all():
        return None, np.zeros(mean.shape, bool)
    best = np.unravel_index(int(np.nanargmax(score)), mean.shape)
    return tuple(int(place) for place in best), score >= score[best] - noise


def heat_map(
    values: Float[np.ndarray, "r c"],
    rows: Sequence[Any] | np.ndarray,
    columns: Sequence[Any] | np.ndarray,
    *,
    row_label: str = "",
    column_label: str = "",
    title: str = "",
    setting_name: Callable[[Any], str] = str,
    noise: float = 0.0,
    higher_is_better: bool = True,
    limits: tuple[float, float] | None = None,
    digits: int = 4,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Draw a metric over two settings with its number in each cell and a frame round the best.

    Args:
        values: NaN where nothing was run; such cells stay blank.
        rows, columns: values of the settings.
        row_label, column_label: names of the settings.
        title: above the picture.
        setting_name: text of a setting's value on the axes.
        noise: cells within this distance of the best get a dashed frame: not told apart from it.
        higher_is_better: frame the highest value; False: the lowest.
        limits: ends of the colour scale; by default the smallest and the largest value.
        digits: decimals in the cells.
        ax: axes to draw on; None opens a pyplot figure.

    Raises:
        ValueError: `values` does not have one row and column for each setting.
    """
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"values have shape {values.shape}, but there are {len(rows)} row and "
            f"{len(columns)} column settings"
        )
    ax = style.axes_or_new(ax, (1.6 + 0.75 * len(columns), 1.3 + 0.5 * len(rows)))
    best, near = best_cells(values, noise=noise, higher_is_better=higher_is_better)
    mesh = _draw(ax, values, limits or _limits(values), digits)
    _frames(ax, mesh, values, near if noise > 0 else np.zeros_like(near), best)
    _ticks(ax, [setting_name(row) for row in rows], [setting_name(column) for column in columns])
    _labels(ax, row_label, column_label, title)
    return ax


def heat_map_panels(
    grid: MetricGrid,
    *,
    row_label: str = "",
    column_label: str = "",
    panel_label: str = "",
    setting_name: Callable[[Any], str] = str,
    noise: float = 0.0,
    higher_is_better: bool = True,
    digits: int = 4,
    axes: Sequence["matplotlib.axes.Axes"] | None = None,
) -> list["matplotlib.axes.Axes"]:
    """Draw one heat map for each value of the third setting, on one colour scale.

    The best cell of all panels is framed; those within `noise` of it have a dashed frame. Other
    arguments as for `heat_map`; `panel_label` names the third setting.
    """
    size = 1.0 + 0.72 * len(grid.columns), 1.2 + 0.5 * len(grid.rows)
    made = style.panels_or_new(axes, len(grid.panels), size)
    best, near = best_cells(grid.mean, noise=noise, higher_is_better=higher_is_better)
    rows, columns = ([setting_name(x) for x in settings] for settings in (grid.rows, grid.columns))
    for index, (setting, ax) in enumerate(zip(grid.panels, made, strict=True)):
        values = grid.mean[index]
        mesh = _draw(ax, values, _limits(grid.mean), digits)
        frame = best[1:] if best is not None and best[0] == index else None
        equals = near[index] if noise > 0 else np.zeros_like(near[index])
        _frames(ax, mesh, values, equals, frame)
        title = f"{panel_label}: {setting_name(setting)}" if len(grid.panels) > 1 else ""
        _ticks(ax, rows, columns)
        _labels(ax, "" if index else row_label, column_label, title)
    return made


def grid_rows(
    grid: MetricGrid, *, row: str, column: str, metric: str, panel: str | None = None
) -> list[dict[str, Any]]:
    """The cells of `grid` that were run, as rows for a CSV."""
    rows = []
    for at in np.argwhere(grid.runs > 0):
        one, two, three = (int(place) for place in at)
        cell = {} if panel is None else {panel: grid.panels[one]}
        cell |= {row: grid.rows[two], column: grid.columns[three]}
        cell |= {metric: float(grid.mean[one, two, three])}
        cell |= {"std": float(grid.std[one, two, three]), "runs": int(grid.runs[one, two, three])}
        rows.append(cell)
    return rows


def _limits(values: Float[np.ndarray, "..."]) -> tuple[float, float]:
    if np.isnan(values).all():
        return 0.0, 1.0
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _draw(
    ax: "matplotlib.axes.Axes",
    values: Float[np.ndarray, "r c"],
    limits: tuple[float, float],
    digits: int,
) -> "matplotlib.collections.QuadMesh":
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values),
        cmap=COLOURS,
        vmin=limits[0],
        vmax=limits[1],
        edgecolors="face",
        linewidth=0.4,
    )
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            text, ink = style.MISSING, style.MUTED
        else:
            text, ink = style.number(float(value), digits), _ink_on(mesh, float(value))
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=ink, fontsize=9)
    return mesh


def _ink_on(mesh: "matplotlib.collections.QuadMesh", value: float) -> str:
    """Black or white, whichever is read more easily on the colour of `value`."""
    red, green, blue, _ = np.asarray(mesh.to_rgba(np.array([value])))[0]
    return "#0b0d12" if 0.30 * red + 0.59 * green + 0.11 * blue > 0.5 else "#fdfdfd"


def _frames(
    ax: "matplotlib.axes.Axes",
    mesh: "matplotlib.collections.QuadMesh",
    values: Float[np.ndarray, "r c"],
    near: np.ndarray,
    best: tuple[int, ...] | None,
) -> None:
    from matplotlib.patches import Rectangle

    def frame(row: int, column: int, name: str, **look: Any) -> None:
        corner = (column + 0.04, row + 0.06)
        ax.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, gid=name, **look))

    for row, column in np.argwhere(near).tolist():
        if best is None or (row, column) != best:
            ink = _ink_on(mesh, float(values[row, column]))
            frame(row, column, "near", edgecolor=ink, linewidth=1.2, linestyle=(0, (3, 2)))
    if best is not None:
        frame(best[0], best[1], "best", edgecolor="#0b0d12", linewidth=3.6)
        frame(best[0], best[1], "best", edgecolor="#fdfdfd", linewidth=1.6)


def _ticks(ax: "matplotlib.axes.Axes", rows: Sequence[str], columns: Sequence[str]) -> None:
    style.tidy(ax, grid="")
    ax.set_xticks(np.arange(len(columns)) + 0.5, [style.plain(name) for name in columns])
    ax.set_yticks(np.arange(len(rows)) + 0.5, [style.plain(name) for name in rows])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _labels(ax: "matplotlib.axes.Axes", row_label: str, column_label: str, title: str) -> None:
    ax.set_xlabel(style.plain(column_label))
    ax.set_ylabel(style.plain(row_label))
    if title:
        ax.set_title(style.plain(title), fontsize=10, loc="left", color=style.INK)
