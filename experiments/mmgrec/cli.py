"""Command line of the MMGRec experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence

import tyro

from experiments.common.commands import dispatch
from experiments.common.flags import peek, tables_command
from experiments.common.recommend import Recommend
from experiments.mmgrec.ablate import Ablate
from experiments.mmgrec.config import MMGRec
from experiments.mmgrec.cost import Cost
from experiments.mmgrec.presets import preset

PROGRAM = "python -m experiments.mmgrec"
COMMANDS = """\
commands (each has its own --help):
  (none)      train all stages
  recommend   top-K with names from a run's folder
  ablate      what ids, the relation term, the graph and honest sources are worth
  cost        writing ids against scoring every item, as the catalogue grows
  tables      write the tables of README.md from results/
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {
        "recommend": _recommend,
        "ablate": _ablate,
        "cost": _cost,
        "tables": tables_command(_write_readme),
    }
    return dispatch(arguments, commands, _train, COMMANDS)


def parse_run(arguments: Sequence[str]) -> MMGRec:
    """Flags of the training command over the preset that --data and --preset name."""
    start = preset(peek(arguments, "--data", "lastfm_2k"), peek(arguments, "--preset", "tuned"))
    about = f"Train MMGRec.\n\n{COMMANDS}"
    return tyro.cli(MMGRec, args=arguments, default=start, prog=PROGRAM, description=about)


def _train(arguments: Sequence[str]) -> int:
    config = parse_run(arguments)
    from experiments.mmgrec.train import train

    return train(config)


def _recommend(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Recommend, args=arguments, prog=f"{PROGRAM} recommend")
    from experiments.common.recommend import finish, show
    from experiments.mmgrec.recommend import recommend

    return finish(recommend(flags), flags.out, show)


def _ablate(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Ablate, args=arguments, prog=f"{PROGRAM} ablate")
    from experiments.common.train import INTERRUPTED
    from experiments.mmgrec.ablate import ablate
    from mmjax.training.signals import Interrupted

    try:
        print(ablate(flags))
    except Interrupted as stop:
        print(stop)
        return INTERRUPTED
    return 0


def _cost(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Cost, args=arguments, prog=f"{PROGRAM} cost")
    from experiments.mmgrec.cost import cost

    print(f"picture: {cost(flags)}")
    return 0


def _write_readme() -> object:
    from experiments.mmgrec.tables import write_readme

    return write_readme()
