"""Command line of the PromptDSI experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.common.commands import dispatch
from experiments.common.flags import peek, tables_command
from experiments.prompt_dsi.config import PromptDSI
from experiments.prompt_dsi.presets import preset

PROGRAM = "python -m experiments.prompt_dsi"
COMMANDS = """\
commands (each has its own --help):
  (none)      index corpora one after the other; presets by --method and --data
  tables      write the tables of README.md from results/
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {"tables": tables_command(_write_readme)}
    return dispatch(arguments, commands, _train, COMMANDS)


def parse_run(arguments: Sequence[str]) -> PromptDSI:
    """Flags of the training command over the preset of --data, --method and --encoder.folder.

    Raises:
        ValueError: no such method.
    """
    start = preset(
        peek(arguments, "--data", "topic_documents"),
        peek(arguments, "--method", "topic"),
        published=bool(peek(arguments, "--encoder.folder", "")),
    )
    about = f"Index corpora that arrive one after the other.\n\n{COMMANDS}"
    return tyro.cli(PromptDSI, args=arguments, default=start, prog=PROGRAM, description=about)


def _train(arguments: Sequence[str]) -> int:
    config = parse_run(arguments)
    from experiments.prompt_dsi.train import train

    return train(config)


def _write_readme() -> Path:
    from experiments.prompt_dsi.tables import write_readme

    return write_readme()
