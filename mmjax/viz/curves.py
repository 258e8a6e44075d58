"""Learning curves: one run with its metrics, or several runs as means with bands over seeds."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mmjax.viz import style

if TYPE_CHECKING:
    import matplotlib.axes

History = str | os.PathLike[str] | Sequence[Mapping[str, Any]]
"""A `metrics.jsonl`, or its lines as mappings such as {"epoch": 3, "loss": 0.4, "seed": 0}."""


class Band(NamedTuple):
    """A metric over several runs, at every x that at least one of them reached."""

    x: Float[np.ndarray, "t"]
    mean: Float[np.ndarray, "t"]
    std: Float[np.ndarray, "t"]
    """Sample standard deviation (n - 1); 0 where one run is left."""
    runs: Int[np.ndarray, "t"]
    """Runs that the mean is over: runs that stopped early are not carried on."""


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, in order.

    A last line without a line break that does not parse is left out: a run that is still going,
    or was killed, may have written half of it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not a JSON object (the message names file and line), or none is left.
    """
    text = Path(path).read_text(encoding="utf-8")
    lines = text.split("\n")
    rows: list[dict[str, Any]] = []
    for count, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if count == len(lines):
                continue
            raise ValueError(f"{path}, line {count}: not JSON ({error}): {line[:60]!r}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {count}: expected an object, got {line[:60]!r}")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path} holds no complete line: has the run finished an epoch yet?")
    return rows


def by_seed(history: History) -> dict[Any, list[Mapping[str, Any]]]:
    """The rows of `history` by their "seed"; rows without one come under None."""
    rows = read_metrics(history) if isinstance(history, (str, os.PathLike)) else history
    seeds: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        seeds.setdefault(row.get("seed"), []).append(row)
    return seeds


def series(
    history: History, metric: str, *, x: str = "epoch"
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """The values of `x` and of `metric` in one run, by rising x.

    Rows that lack the metric are skipped (evaluation may be rarer than epochs). Of two rows with
    the same x the later one counts, as after a resumed run that repeated an epoch.

    Raises:
        ValueError: no row has both `x` and `metric`; the message lists what there is.
    """
    rows = read_metrics(history) if isinstance(history, (str, os.PathLike)) else history
    points = {
        float(row[x]): float(row[metric])
        for row in rows
        if row.get(x) is not None and row.get(metric) is not None
    }
    if not points:
        known = sorted({name for row in rows for name in row})
        where = f" in {history}" if isinstance(history, (str, os.PathLike)) else ""
        raise ValueError(f"no {metric!r} over {x!r}{where}; there is: {', '.join(known)}")
    xs = np.array(sorted(points))
    return xs, np.array([points[value] for value in xs])


def mean_band(histories: Sequence[History], metric: str, *, x: str = "epoch") -> Band:
    """Mean and spread of `metric` over runs, at each x over the runs that have a value there.

    Raises:
        ValueError: there is no run, or one of them lacks the metric.
    """
    if not histories:
        raise ValueError("no runs to average")
    lines = [series(history, metric, x=x) for history in histories]
    xs = np.unique(np.concatenate([line[0] for line in lines]))
    values = np.full((len(lines), len(xs)), np.nan)
    for row, (at, value) in zip(values, lines, strict=True):
        row[np.searchsorted(xs, at)] = value
    there = ~np.isnan(values)
    runs = there.sum(axis=0)
    kept = np.where(there, values, 0.0)
    mean = kept.sum(axis=0) / np.where(runs > 0, runs, 1)
    squares = np.where(there, (kept - mean) ** 2, 0.0).sum(axis=0)
    std = np.sqrt(squares / np.where(runs > 1, runs - 1, 1))
    lost = runs == 0
    return Band(xs, np.where(lost, np.nan, mean), np.where(lost, np.nan, std), runs)


def curves(
    history: History,
    metrics: str | Sequence[str],
    *,
    x: str = "epoch",
    best: bool = True,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Draw one or several metrics of a run that share a scale, one line a metric and seed.

    With `best`, the best value of each metric is dotted and written at it (the highest, or the
    lowest of a loss), unless there are several seeds.

    Raises:
        ValueError: a metric is not in the history (see `series`).
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    lines = [
        (index, name, *series(rows, name, x=x))
        for index, name in enumerate(names)
        for rows in _seeds_with(history, name, x)
    ]
    ax = style.axes_or_new(ax)
    ends: dict[str, tuple[float, float, str, str]] = {}
    for index, name, xs, values in lines:
        ink, finite = style.colour(index), np.flatnonzero(np.isfinite(values))
        ax.plot(xs, values, color=ink, linestyle=style.dashes(index), linewidth=1.6)
        if best and len(finite) and len(lines) == len(names):
            _mark_best(ax, xs, values, name, ink)
        if len(names) > 1 and len(finite):
            last = int(finite[-1])
            ends[name] = (float(xs[last]), float(values[last]), style.metric_label(name), ink)
    if len(names) == 1:
        ax.set_ylabel(style.metric_label(names[0]))
    _finish(ax, x)
    style.end_labels(ax, list(ends.values()))
    return ax


def panels(
    history: History,
    metrics: Sequence[str],
    *,
    x: str = "epoch",
    axes: Sequence["matplotlib.axes.Axes"] | None = None,
) -> list["matplotlib.axes.Axes"]:
    """Draw each metric of a run in a panel of its own, side by side (see `curves`)."""
    made = style.panels_or_new(axes, len(metrics), (4.2, 3.0))
    return [curves(history, name, x=x, ax=ax) for name, ax in zip(metrics, made, strict=True)]


def compare(
    runs: Mapping[str, History | Sequence[History]],
    metric: str,
    *,
    x: str = "epoch",
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Draw the mean of `metric` over the seeds of each run, with a band of one standard deviation.

    `runs` maps a name to one history (its "seed" entries part it) or to several. Where some seeds
    have stopped and the mean is over the rest, the line is thin and the band is gone.

    Raises:
        ValueError: a run is empty or lacks the metric.
    """
    ax = style.axes_or_new(ax)
    ends = []
    for index, (name, run) in enumerate(runs.items()):
        ink, band = style.colour(index), mean_band(list(_histories(run)), metric, x=x)
        whole = band.runs == band.runs.max()
        last = int(np.flatnonzero(whole)[-1]) + 1
        ax.plot(
            band.x[:last],
            band.mean[:last],
            color=ink,
            linestyle=style.dashes(index),
            linewidth=1.8,
            label=style.plain(name),
        )
        if last < len(band.x):
            ax.plot(band.x[last - 1 :], band.mean[last - 1 :], color=ink, linewidth=0.7, alpha=0.7)
        if band.runs.max() > 1:
            ax.fill_between(
                band.x[:last],
                (band.mean - band.std)[:last],
                (band.mean + band.std)[:last],
                color=ink,
                alpha=0.16,
                linewidth=0,
            )
        finite = np.flatnonzero(np.isfinite(band.mean))
        if len(finite):
            end = int(finite[-1])
            ends.append((float(band.x[end]), float(band.mean[end]), name, ink))
    ax.set_ylabel(style.metric_label(metric))
    _finish(ax, x)
    style.end_labels(ax, ends)
    return ax


def curve_rows(
    runs: Mapping[str, History | Sequence[History]], metrics: Sequence[str], *, x: str = "epoch"
) -> list[dict[str, Any]]:
    """Rows run, metric, x, mean, std, runs for a CSV: the numbers of `curves` and `compare`."""
    rows = []
    for name, run in runs.items():
        for metric in metrics:
            band = mean_band(list(_histories(run)), metric, x=x)
            for at, mean, std, count in zip(*band, strict=True):
                row = {"run": name, "metric": metric, x: _whole(at), "mean": float(mean)}
                rows.append(row | {"std": float(std), "runs": int(count)})
    return rows


def _histories(run: History | Sequence[History]) -> Iterator[Sequence[Mapping[str, Any]]]:
    if isinstance(run, (str, os.PathLike)):
        yield from by_seed(run).values()
        return
    rows = [row for row in run if isinstance(row, Mapping)]
    if rows:
        yield from by_seed(rows).values()
    for history in run:
        if not isinstance(history, Mapping):
            yield from by_seed(history).values()


def _seeds_with(history: History, metric: str, x: str) -> list[list[Mapping[str, Any]]]:
    """The seeds of `history` that have the metric; all of them if none has, for the error."""
    seeds = list(by_seed(history).values())
    having = [
        rows
        for rows in seeds
        if any(r.get(metric) is not None and r.get(x) is not None for r in rows)
    ]
    return having or [[row for rows in seeds for row in rows]]


def _mark_best(
    ax: "matplotlib.axes.Axes",
    xs: Float[np.ndarray, "t"],
    values: Float[np.ndarray, "t"],
    metric: str,
    ink: str,
) -> None:
    rising = style.higher_is_better(metric)
    place = int(np.nanargmax(values) if rising else np.nanargmin(values))
    ax.plot(xs[place], values[place], "o", color=ink, markersize=5)
    # Losses may be large sums; papers print metrics, which are shares, without the leading zero.
    value = values[place]
    text = style.number(value) if abs(value) <= 1 else f"{value:,.4g}"
    ax.annotate(
        text,
        (xs[place], value),
        xytext=(0, 6 if rising else -6),
        textcoords="offset points",
        ha="center" if 0.1 < place / max(len(xs) - 1, 1) < 0.9 else _side(place, len(xs)),
        va="bottom" if rising else "top",
        color=ink,
        fontsize=9,
    )


def _side(place: int, count: int) -> str:
    return "left" if place < count / 2 else "right"


def _finish(ax: "matplotlib.axes.Axes", x: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel(style.metric_label(x))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.margins(x=0.02, y=0.12)
    style.tidy(ax)


def _whole(value: float) -> int | float:
    return int(value) if math.isfinite(value) and value == int(value) else float(value)
