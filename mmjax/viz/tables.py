"""Leaderboards: means and spreads over seeds, who is ahead beyond the noise, published numbers."""

import html
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, SupportsFloat

import numpy as np

from mmjax.viz import style
from mmjax.viz.significance import TTest, Values, paired_t, welch_t

ALPHA = 0.05
NOISE = 0.02
"""Relative lead below which single-seed results count as equal: re-runs of published models on
the Amazon sets differ by about this much."""


@dataclass(frozen=True)
class Row:
    """A method's results.

    Attributes:
        name: as it stands in the table.
        values: metric -> one value a seed (a method that was not run here has none).
        seeds: the seeds in the order of the values; rows with the same seeds are compared in pairs.
        paper: metric -> the published number.
        note: a remark, such as the device.
    """

    name: str
    values: Mapping[str, Values] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    paper: Mapping[str, SupportsFloat] = field(default_factory=dict)
    note: str = ""


class Cell(NamedTuple):
    """One method's result in one metric."""

    mean: float
    std: float
    """Sample standard deviation (n - 1); NaN for one seed."""
    runs: int
    best: bool
    """Ahead of every other method by more than the noise."""
    versus: TTest | None
    """Against the reference method, if one was named and a test was possible; a positive
    difference means better, also for losses."""


class Line(NamedTuple):
    """One method in a `Table`."""

    name: str
    cells: Mapping[str, Cell]
    paper: Mapping[str, float]
    note: str


class Table(NamedTuple):
    """A leaderboard, as all renderings print it."""

    metrics: tuple[str, ...]
    lines: tuple[Line, ...]
    reference: str | None
    alpha: float
    noise: float
    digits: int


def leaderboard(
    rows: Sequence[Row],
    metrics: Sequence[str] | None = None,
    *,
    reference: str | None = None,
    alpha: float = ALPHA,
    noise: float = NOISE,
    digits: int = 4,
) -> Table:
    """Summarise `rows` and decide in each metric whether one of them is ahead.

    A winner must be ahead of *every* other method: by a t-test at level `alpha` (paired where the
    seeds are the same, else Welch's), or, where one of the two has a single seed, by more than the
    share `noise`. Otherwise nobody is marked. Published numbers take no part.

    Args:
        rows: methods in the order of the table.
        metrics: columns; by default every metric in `rows`, in order of appearance.
        reference: name of the row that the others are tested against.
        alpha: level of the tests.
        noise: relative lead that counts between single runs.
        digits: decimals.

    Raises:
        ValueError: no rows, a name twice, an unknown reference, a value that is not finite, or
            other numbers of values than seeds.
    """
    _validate(rows, reference)
    names = tuple(metrics) if metrics is not None else _metrics(rows)
    anchor = next((row for row in rows if row.name == reference), None)
    winners = {metric: _winner(rows, metric, alpha, noise) for metric in names}
    lines = []
    for row in rows:
        cells = {}
        for metric in names:
            values = row.values.get(metric, ())
            if len(values):
                cells[metric] = Cell(
                    mean=float(np.mean(values)),
                    std=float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
                    runs=len(values),
                    best=winners[metric] == row.name,
                    versus=_test(row, anchor, metric) if anchor not in (None, row) else None,
                )
        published = {metric: float(value) for metric, value in row.paper.items()}
        lines.append(Line(row.name, cells, published, row.note))
    return Table(names, tuple(lines), reference, alpha, noise, digits)


def to_text(table: Table) -> str:
    """`table` in columns of even width, for a terminal; a star marks a winner."""
    columns = [_aligned(column) for column in _columns(table)]
    rows = zip(*columns, strict=True)
    lines = ["  ".join(cells).rstrip() for cells in rows]
    lines.insert(1, "  ".join("-" * _width(column[0]) for column in columns))
    return "\n".join([*lines, *_legend(table, "*")]) + "\n"


def to_markdown(table: Table) -> str:
    """`table` for a README; a winner is bold."""

    def show(shown: CellText) -> str:
        text = _escape(shown.text + shown.spread + shown.arrow)
        return f"**{text}**" if shown.best else text

    columns = _columns(table)
    lines = ["| " + " | ".join(map(show, row)) + " |" for row in zip(*columns, strict=True)]
    lines.insert(1, "|" + "|".join("---" if column[0].left else "---:" for column in columns) + "|")
    legend = [f"<sub>{_escape(line)}</sub>  " for line in _legend(table, "Bold")]
    return "\n".join([*lines, *([""] if legend else []), *legend]) + "\n"


def to_html(table: Table, caption: str = "") -> str:
    """`table` as an HTML element with its legend below; everything in it is escaped."""

    def show(shown: CellText, tag: str) -> str:
        text = html.escape(shown.text)
        text = f"<strong>{text}</strong>" if shown.best else text
        if shown.spread.strip():
            text += f'<span class="std">{html.escape(shown.spread)}</span>'
        if shown.arrow:
            text += f'<span title="{html.escape(shown.hint)}">{html.escape(shown.arrow)}</span>'
        left = ' class="text"' if shown.left else ""
        scope = {"th": ' scope="col"', "row": ' scope="row"', "td": ""}[tag]
        tag = "td" if tag == "td" else "th"
        return f"<{tag}{scope}{left}>{text}</{tag}>"

    header, *body = zip(*_columns(table), strict=True)
    head = "".join(show(shown, "th") for shown in header)
    rows = "".join(
        "<tr>"
        + "".join(show(shown, "td" if index else "row") for index, shown in enumerate(row))
        + "</tr>\n"
        for row in body
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    legend = "".join(f'<p class="note">{html.escape(x)}</p>' for x in _legend(table, "Bold"))
    return (
        f'<div class="scroll"><table class="board">{title}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>{legend}"
    )


def table_rows(table: Table) -> list[dict[str, Any]]:
    """One row for each method and metric, for a CSV: means, spreads, published numbers, tests."""
    return [
        {
            "method": line.name,
            "metric": metric,
            "mean": cell.mean if cell else None,
            "std": cell.std if cell and cell.runs > 1 else None,
            "seeds": cell.runs if cell else 0,
            "paper": line.paper.get(metric),
            "best": bool(cell and cell.best),
            "p_versus_reference": cell.versus.p if cell and cell.versus else None,
        }
        for line in table.lines
        for metric in table.metrics
        for cell in [line.cells.get(metric)]
        if cell or metric in line.paper
    ]


class CellText(NamedTuple):
    """The text of a cell."""

    text: str
    spread: str = ""
    arrow: str = ""
    best: bool = False
    left: bool = False
    hint: str = ""


def _columns(table: Table) -> list[list[CellText]]:
    """The columns of `table`, header first; those that would be empty are left out."""
    counts = [max((cell.runs for cell in line.cells.values()), default=0) for line in table.lines]
    columns = [
        [CellText("method", left=True)] + [CellText(line.name, left=True) for line in table.lines]
    ]
    for metric in table.metrics:
        cells = [line.cells.get(metric) for line in table.lines]
        if any(cells):
            shown = [_shown(cell, table) for cell in cells]
            columns.append([CellText(style.metric_label(metric)), *shown])
        papers = [line.paper.get(metric) for line in table.lines]
        if any(value is not None for value in papers):
            title = "paper" if any(cells) else f"{style.metric_label(metric)}, paper"
            columns.append(
                [
                    CellText(title),
                    *(CellText(style.number(value, table.digits)) for value in papers),
                ]
            )
    if max(counts) > 1:
        columns.append(
            [CellText("seeds"), *(CellText(str(n) if n else style.MISSING) for n in counts)]
        )
    if any(line.note for line in table.lines):
        notes = [CellText(line.note, left=True) for line in table.lines]
        columns.append([CellText("note", left=True), *notes])
    return columns


def _shown(cell: Cell | None, table: Table) -> CellText:
    if cell is None:
        return CellText(style.MISSING)
    spread = f" \u00b1 {style.number(cell.std, table.digits)}" if cell.runs > 1 else ""
    arrow = hint = ""
    if cell.versus is not None:
        hint = f"p = {style.number(cell.versus.p, 3)} against {table.reference}"
        if cell.versus.p < table.alpha:
            arrow = " \u2191" if cell.versus.difference > 0 else " \u2193"
    return CellText(style.number(cell.mean, table.digits), spread, arrow, cell.best, hint=hint)


def _aligned(column: Sequence[CellText]) -> list[str]:
    """The cells of a column in even width: the means stand below each other."""
    tails = [cell.spread + cell.arrow + " *" * cell.best for cell in column[1:]]
    tail = max(map(_width, tails), default=0)
    texts = [cell.text for cell in column[1:]]
    main = max(map(_width, texts), default=0)
    if column[0].left:
        body = [text + " " * (main - _width(text)) for text in texts]
    else:
        body = [
            " " * (main - _width(text)) + text + rest + " " * (tail - _width(rest))
            for text, rest in zip(texts, tails, strict=True)
        ]
    title = column[0].text
    whole = max([_width(title), *map(_width, body)])
    pad = [" " * (whole - _width(text)) for text in [title, *body]]
    if column[0].left:
        return [text + space for text, space in zip([title, *body], pad, strict=True)]
    return [space + text for text, space in zip([title, *body], pad, strict=True)]


def _legend(table: Table, mark: str) -> list[str]:
    cells = [cell for line in table.lines for cell in line.cells.values()]
    level = style.number(table.alpha, 2)
    test = f"t-test over seeds, p < {level}" if any(cell.runs > 1 for cell in cells) else ""
    single = f"{table.noise:.0%} between single runs" if any(c.runs == 1 for c in cells) else ""
    rule = "; ".join(part for part in (test, single) if part)
    notes = []
    if test:
        notes.append("Mean \u00b1 standard deviation over seeds.")
    if sum(bool(line.cells) for line in table.lines) > 1:
        if any(cell.best for cell in cells):
            notes.append(f"{mark}: ahead of every other row beyond the noise ({rule}).")
        else:
            notes.append(f"No row is ahead of all others beyond the noise ({rule}).")
    if any(cell.versus for cell in cells):
        notes.append(f"\u2191 \u2193: better or worse than {table.reference} (p < {level}).")
    return notes


def _validate(rows: Sequence[Row], reference: str | None) -> None:
    names = [row.name for row in rows]
    if not rows:
        raise ValueError("a leaderboard needs at least one row")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"rows need different names; twice there: {', '.join(twice)}")
    if reference is not None and reference not in names:
        raise ValueError(f"reference {reference!r} is none of the rows {names}")
    for row in rows:
        for metric, values in row.values.items():
            if not np.isfinite(np.asarray(values, float)).all():
                raise ValueError(
                    f"{row.name}: {metric} has a value that is not finite, {list(values)}; "
                    "leave out the seeds that diverged and say so in the note"
                )
            if row.seeds and len(values) not in (0, len(row.seeds)):
                raise ValueError(f"{row.name}: {len(values)} values of {metric} for {row.seeds}")


def _metrics(rows: Iterable[Row]) -> tuple[str, ...]:
    named = (metric for row in rows for metric in (*row.values, *row.paper))
    return tuple(dict.fromkeys(named))


def _winner(rows: Sequence[Row], metric: str, alpha: float, noise: float) -> str | None:
    run = [row for row in rows if len(row.values.get(metric, ()))]
    if len(run) < 2:
        return None
    sign = 1.0 if style.higher_is_better(metric) else -1.0
    ranked = sorted(run, key=lambda row: -sign * float(np.mean(row.values[metric])))
    first, others = ranked[0], ranked[1:]
    clear = all(_apart(first, other, metric, alpha, noise) for other in others)
    return first.name if clear else None


def _apart(first: Row, other: Row, metric: str, alpha: float, noise: float) -> bool:
    test = _test(first, other, metric)
    if test is not None:
        return test.p < alpha and test.difference != 0
    a, b = (float(np.mean(row.values[metric])) for row in (first, other))
    return abs(a - b) > noise * max(abs(a), abs(b))


def _test(row: Row, other: Row | None, metric: str) -> TTest | None:
    """The test that the seeds of the two rows allow; None if one of them has a single value."""
    if other is None:
        return None
    a, b = row.values.get(metric, ()), other.values.get(metric, ())
    if min(len(a), len(b)) < 2:
        return None
    test = paired_t if row.seeds and row.seeds == other.seeds else welch_t
    result = test(a, b)
    return (
        result if style.higher_is_better(metric) else result._replace(difference=-result.difference)
    )


def _width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _escape(text: str) -> str:
    """`text` without a meaning in Markdown."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return "".join("\\" + letter if letter in "\\|*`[" else letter for letter in text)
