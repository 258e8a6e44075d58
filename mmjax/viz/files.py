"""A picture as PNG with the numbers behind it as CSV."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmjax.data.io.files import atomic_write_bytes, atomic_write_text

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """`rows` as CSV: the columns in order of appearance, None and absent entries empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def save(
    picture: "matplotlib.axes.Axes | matplotlib.figure.Figure",
    path: str | os.PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    dpi: int = 200,
) -> tuple[Path, Path]:
    """Write the whole figure to `path` (a .png) and `rows` to the .csv beside it, atomically.

    Every plot has a function that gives its rows: `curves.curve_rows`, `heatmap.grid_rows`,
    `tables.table_rows`. Equal pictures give equal files.

    Returns:
        The paths of the picture and of the table.

    Raises:
        ValueError: `path` does not end in ".png", or there are no rows.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"pictures are saved as .png, got {path}")
    if not rows:
        raise ValueError(f"no rows to write beside {path}: pass the numbers that the picture shows")
    buffer = io.BytesIO()
    figure_of(picture).savefig(
        buffer,
        format="png",
        dpi=dpi,
        bbox_inches="tight",
        facecolor="white",
        metadata={"Software": None},
    )
    table = path.with_suffix(".csv")
    atomic_write_bytes(path, buffer.getvalue())
    atomic_write_text(table, to_csv(rows))
    return path, table


def figure_of(
    picture: "matplotlib.axes.Axes | matplotlib.figure.Figure",
) -> "matplotlib.figure.Figure":
    """The outermost figure of `picture`."""
    from matplotlib.figure import Figure, SubFigure

    figure = picture if isinstance(picture, Figure) else picture.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    if figure is None:
        raise ValueError("these axes have been removed from their figure")
    return figure
