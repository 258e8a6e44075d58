"""Command line of the MetaMMF experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence

import tyro

from experiments.common.commands import dispatch
from experiments.common.config import Run
from experiments.common.flags import parse_preset, recommend_command, tables_command, train_command
from experiments.meta_mmf.claim import Claim
from experiments.meta_mmf.depth import Depth
from experiments.meta_mmf.presets import preset

PROGRAM = "python -m experiments.meta_mmf"
COMMANDS = """\
commands (each has its own --help):
  (none)      train
  recommend   top-K with names from a run's folder
  claim       item-specific against static fusion on real data, paired over seeds
  depth       the same on synthetic items, over 1 to 4 fusion layers
  tables      write the tables of README.md from results/
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {
        "recommend": recommend_command(PROGRAM),
        "claim": _claim,
        "depth": _depth,
        "tables": tables_command(_write_readme),
    }
    return dispatch(arguments, commands, train_command(parse_run), COMMANDS)


def parse_run(arguments: Sequence[str]) -> Run:
    """Flags of the training command over the preset that --data and --preset name."""
    about = f"Train MetaMMF.\n\n{COMMANDS}"
    return parse_preset(arguments, preset, "lastfm_2k", PROGRAM, about)


def _claim(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Claim, args=arguments, prog=f"{PROGRAM} claim")
    from experiments.meta_mmf.claim import claim

    print(claim(flags))
    return 0


def _depth(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Depth, args=arguments, prog=f"{PROGRAM} depth")
    from experiments.meta_mmf.depth import depth

    print(f"picture: {depth(flags)}")
    return 0


def _write_readme() -> object:
    from experiments.meta_mmf.tables import write_readme

    return write_readme()
