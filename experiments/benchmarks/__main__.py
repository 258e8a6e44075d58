"""`python -m experiments.benchmarks`: every benchmark, one after the other.

    python -m experiments.benchmarks tables
    python -m experiments.benchmarks [--torch-python PATH] [--data FOLDER] [--out FOLDER]
    python -m experiments.benchmarks.TOPIC --help

Ratios are measured in one run, with the peers in alternating rounds. PyTorch takes part when this
Python has it, or through the one that --torch-python names.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.benchmarks.parts import PARTS, chosen, command
from experiments.benchmarks.tables import write_readme


@dataclass(frozen=True)
class Options:
    """Every benchmark, one after the other."""

    parts: tuple[str, ...] = ()
    """Which benchmarks (default: all)."""
    torch_python: str | None = None
    """Python that has PyTorch."""
    data: Path | None = None
    """Folder with interactions.npz of Baby, else edges like them are drawn."""
    out: Path | None = None
    """Folder for one JSON file a benchmark."""


def main(options: Options) -> int:
    """Run the benchmarks; the status is that of the first one that fails, else 0."""
    names = chosen(options.parts, tuple(part.topic for part in PARTS))
    for part in PARTS:
        if part.topic not in names:
            continue
        flags: tuple[str, ...] = ()
        if options.data and part.data:
            flags += ("--data", str(options.data))
        if options.out:
            flags += ("--out", str(options.out / f"{part.topic}.json"))
        print(f"\n== {part.topic}", flush=True)
        done = subprocess.run([sys.executable, *command(part, flags, options.torch_python)])
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["tables"]:
        print(f"wrote {write_readme()}")
    else:
        sys.exit(main(tyro.cli(Options, prog="python -m experiments.benchmarks")))
