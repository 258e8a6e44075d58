"""Command line of the AD-DRL experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence

import tyro

from experiments.ad_drl.control import Control
from experiments.ad_drl.explain import Explain
from experiments.ad_drl.presets import preset
from experiments.common.commands import dispatch
from experiments.common.config import Run
from experiments.common.flags import parse_preset, recommend_command, tables_command, train_command

PROGRAM = "python -m experiments.ad_drl"
COMMANDS = """\
commands (each has its own --help):
  (none)      train on a data set whose items have attributes
  recommend   top-K with names from a run's folder
  explain     the same with what drives each recommendation
  control     turn the factor of an attribute up and down and draw what changes
  tables      write the table of README.md from results/
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {
        "recommend": recommend_command(PROGRAM),
        "explain": _explain,
        "control": _control,
        "tables": tables_command(_write_readme),
    }
    return dispatch(arguments, commands, train_command(parse_run), COMMANDS)


def parse_run(arguments: Sequence[str]) -> Run:
    """Flags of the training command over the preset that --data and --preset name."""
    about = f"Train AD-DRL.\n\n{COMMANDS}"
    return parse_preset(arguments, preset, "ml_small_mm", PROGRAM, about)


def _explain(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Explain, args=arguments, prog=f"{PROGRAM} explain")
    from experiments.ad_drl import explain
    from experiments.common import recommend

    return recommend.finish(explain.explain(flags), flags.out, explain.show)


def _control(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Control, args=arguments, prog=f"{PROGRAM} control")
    from experiments.ad_drl.control import control

    print(f"picture: {control(flags)}")
    return 0


def _write_readme() -> object:
    from experiments.ad_drl.tables import write_readme

    return write_readme()
