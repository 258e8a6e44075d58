"""Command line of the bench.  `--help` imports no JAX."""

from collections.abc import Sequence

import tyro

from experiments.bench.config import Bench
from experiments.common.commands import dispatch
from experiments.common.flags import tables_command
from experiments.common.methods import METHODS


def main(arguments: Sequence[str]) -> int:
    """Run the bench, or write README.md's tables (`tables`); returns the exit status."""
    return dispatch(
        arguments, {"tables": tables_command(_write_readme)}, _bench, "commands: tables"
    )


def _bench(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Bench, args=arguments, prog="python -m experiments.bench")
    if unknown := [m for m in flags.models if m not in METHODS]:
        raise ValueError(f"--models {' '.join(unknown)}: choose from {', '.join(METHODS)}")
    from experiments.bench.bench import bench
    from experiments.common.train import INTERRUPTED
    from mmjax.training.signals import Interrupted
    from mmjax.viz import tables

    try:
        found = bench(flags)
    except Interrupted as stop:
        print(stop)
        return INTERRUPTED
    for name, table in found.items():
        print(f"\nTest, {name}\n{tables.to_text(table)}")
        print(f"picture: {flags.workdir / name / 'leaderboard.png'}")
    return 0


def _write_readme() -> object:
    from experiments.bench.tables import write_readme

    return write_readme()
