"""The cost of an answer as a catalogue grows: compiled programs timed in turns at every size."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import harness
from experiments.benchmarks.tables import markdown
from mmjax.viz import curves
from mmjax.viz.files import save


class Program(NamedTuple):
    """A compiled program and its arguments."""

    compiled: Any
    arguments: tuple[Any, ...]


def program(f: Callable[..., Any], *arguments: Any) -> Program:
    """`f`, compiled for these arguments."""
    return Program(jax.jit(f).lower(*arguments).compile(), arguments)


def measure(
    programs: Callable[[int], Mapping[str, Program]],
    sizes: Sequence[int],
    baseline: str,
    *,
    rounds: int,
    unit: str = "items",
) -> list[dict[str, Any]]:
    """A row a size and program: median and best milliseconds, memory, speed against a baseline.

    Args:
        programs: those for a size, by name.
        sizes: of the catalogue.
        baseline: name of the program that the others are compared with.
        rounds: interleaved calls of each, of which the median is taken.
        unit: what is counted; the rows hold the size under this name.
    """
    rows = []
    for n in sizes:
        made = programs(n)
        timed = {
            name: harness.timed(lambda p=p: p.compiled(*p.arguments), wait=jax.block_until_ready)
            for name, p in made.items()
        }
        samples = harness.interleaved(timed, rounds=rounds, warmup=1)
        for line in harness.summary(samples, baseline):
            memory = harness.temporary_mib(made[line.name].compiled)
            rows.append({unit: n, **line._asdict(), "mib": round(memory, 2)})
            print(
                f"{n:>9,} {unit}  {line.name:20s} {line.median_ms:9.2f} ms  {memory:8.1f} MiB",
                flush=True,
            )
    return rows


def write(path: Path, rows: Sequence[Mapping[str, Any]], **settings: Any) -> None:
    """Write the rows with the command, commit and machine, whole or not at all."""
    about = harness.environment(("jax", "jaxlib", "numpy"))
    device = jax.devices()[0].device_kind
    harness.write_json(path, {**about, "device": device, **settings, "rows": list(rows)})


def load(path: Path) -> dict[str, Any]:
    """Read the file that `write` wrote."""
    return json.loads(path.read_text())


def draw(rows: Sequence[Mapping[str, Any]], path: Path, *, unit: str, x: str, y: str) -> Path:
    """Milliseconds by size, a line a program, both axes logarithmic; a CSV stands beside it."""
    names = sorted({row["name"] for row in rows})
    lines = {
        name: [{unit: r[unit], "ms": r["median_ms"]} for r in rows if r["name"] == name]
        for name in names
    }
    ax = curves.compare(lines, "ms", x=unit)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    save(ax, path, curves.curve_rows(lines, ("ms",), x=unit))
    return path


def table(rows: Sequence[Mapping[str, Any]], *, unit: str = "items") -> str:
    """Markdown: a line a program, a column a size."""
    sizes = sorted({row[unit] for row in rows})
    names = sorted({row["name"] for row in rows})
    cell = {(row["name"], row[unit]): row for row in rows}
    lines = []
    for name in names:
        cells = [cell[name, n] for n in sizes]
        lines.append([name, *(f"{r['median_ms']:.1f} ms, {r['mib']:.1f} MiB" for r in cells)])
    return markdown(["", *(f"{n:,} {unit}" for n in sizes)], lines)
