"""Command line of the TIGER experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.common.commands import dispatch
from experiments.common.flags import peek, tables_command
from experiments.common.methods import SEQUENCE_METHODS
from experiments.common.sequences.config import SequenceRun
from experiments.common.sequences.recommend import RecommendNext
from experiments.tiger.presets import DATA, preset

PROGRAM = "python -m experiments.tiger"
COMMANDS = """\
commands (each has its own --help):
  (none)      train; presets by --method and --data
  recommend   what comes next for users of a run's folder, with names
  tables      write the tables of README.md from results/*.json
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {"recommend": _recommend, "tables": tables_command(_write_readme)}
    return dispatch(arguments, commands, _train, COMMANDS)


def parse_run(arguments: Sequence[str]) -> SequenceRun:
    """Flags of the training command over the preset that --method, --data and --preset name.

    Raises:
        ValueError: no such method or data set.
    """
    method = peek(arguments, "--method", "sasrec")
    if method not in SEQUENCE_METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(SEQUENCE_METHODS)}")
    data = peek(arguments, "--data", DATA[0])
    if data not in DATA and not Path(data).is_file():
        raise ValueError(f"--data {data}: choose one of {', '.join(DATA)}, or give a .csv file")
    start = preset(method, data, peek(arguments, "--preset", "tuned"))
    return tyro.cli(
        SequenceRun[type(start.model)],
        args=arguments,
        default=start,
        prog=PROGRAM,
        description=f"Train a model of what a user meets next.\n\n{COMMANDS}",
    )


def _train(arguments: Sequence[str]) -> int:
    run = parse_run(arguments)
    from experiments.common.sequences.train import train

    return train(run, preset)


def _recommend(arguments: Sequence[str]) -> int:
    flags = tyro.cli(RecommendNext, args=arguments, prog=f"{PROGRAM} recommend")
    from experiments.common.recommend import finish, show
    from experiments.common.sequences.recommend import recommend

    return finish(recommend(flags), flags.out, show)


def _write_readme() -> Path:
    from experiments.tiger.tables import write_readme

    return write_readme()
