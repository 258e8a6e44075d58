"""Command line of the bench.  `--help` imports no JAX."""

import sys
from collections.abc import Sequence

import tyro

from experiments.bench.config import Bench
from experiments.common.messages import meant
from experiments.common.methods import METHODS


def main(arguments: Sequence[str]) -> int:
    """Run the bench, or write README.md's tables (`tables`); returns the exit status.

    What the user can mend is printed without a traceback and gives status 2.
    """
    if list(arguments) == ["tables"]:
        from experiments.bench.tables import write_readme

        print(f"wrote {write_readme()}")
        return 0
    try:
        flags = tyro.cli(Bench, args=arguments, prog="python -m experiments.bench")
        if unknown := [m for m in flags.models if m not in METHODS]:
            raise ValueError(f"--models {' '.join(unknown)}: choose from {', '.join(METHODS)}")
        return _bench(flags)
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        if not meant(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def _bench(flags: Bench) -> int:
    from experiments.bench.bench import bench
    from experiments.common.run import Interrupted
    from experiments.common.train import INTERRUPTED
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
