"""Command line of the MIG-GT experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.common.commands import dispatch
from experiments.common.config import Run
from experiments.common.flags import peek
from experiments.common.hops import Hops
from experiments.common.recommend import Recommend
from experiments.common.sweep import Sweep
from experiments.mig_gt.presets import DATA, METHODS, preset

COMMANDS = """\
commands (each has its own --help):
  (none)      train; presets by --method and --data
  recommend   top-K with names from a run's folder
  sweep       grid or random search on validation, resumable
  hops        sweep the hop counts and draw the heat map
  tables      write the tables of README.md from results/*.json
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {
        "recommend": _recommend,
        "sweep": _sweep,
        "hops": _hops,
        "tables": _tables,
    }
    return dispatch(arguments, commands, _train, COMMANDS)


def parse_run(arguments: Sequence[str]) -> Run:
    """Flags of the training command over the preset that --method, --data and --preset name."""
    method = peek(arguments, "--method", "mig_gt")
    if method not in METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(METHODS)}")
    data = peek(arguments, "--data", "lastfm_2k")
    if data not in DATA and not Path(data).is_dir():
        raise ValueError(f"--data {data}: choose one of {', '.join(DATA)}, or give a folder")
    start = preset(method, data, peek(arguments, "--preset", "tuned"))
    return tyro.cli(
        Run[type(start.model)],
        args=arguments,
        default=start,
        prog="python -m experiments.mig_gt",
        description=f"Train MIG-GT or a baseline.\n\n{COMMANDS}",
    )


def _train(arguments: Sequence[str]) -> int:
    run = parse_run(arguments)
    from experiments.common.train import train

    return train(run, preset)


def _recommend(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Recommend, args=arguments, prog="python -m experiments.mig_gt recommend")
    from experiments.common import recommend

    return recommend.finish(recommend.recommend(flags), flags.out, recommend.show)


def _sweep(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Sweep, args=arguments, prog="python -m experiments.mig_gt sweep")
    from experiments.common.sweep import sweep

    rows = sweep(flags)
    print("\nbest on validation:")
    for row in rows[:10]:
        print(f"  {row[flags.metric]:.4f} +- {row['std']:.4f}  {row['set']}")
    return 0


def _hops(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Hops, args=arguments, prog="python -m experiments.mig_gt hops")
    from experiments.common.hops import draw

    print(f"picture: {draw(flags)}")
    return 0


def _tables(arguments: Sequence[str]) -> int:
    if arguments:
        raise ValueError("tables takes no flags")
    from experiments.mig_gt.tables import write_readme

    print(f"wrote {write_readme()}")
    return 0
