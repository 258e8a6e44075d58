"""Command line of the MIG-GT experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.common.commands import dispatch
from experiments.common.config import Run
from experiments.common.flags import (
    parse,
    peek,
    recommend_command,
    tables_command,
    train_command,
)
from experiments.common.sweep import Sweep
from experiments.mig_gt.analysis import HopSweep, draw_hops
from experiments.mig_gt.presets import DATA, METHODS, preset

PROGRAM = "python -m experiments.mig_gt"
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
        "recommend": recommend_command(PROGRAM),
        "sweep": _sweep,
        "hops": _hops,
        "tables": tables_command(_write_readme),
    }
    return dispatch(arguments, commands, train_command(parse_run), COMMANDS)


def parse_run(arguments: Sequence[str]) -> Run:
    """Flags of the training command over the preset that --method, --data and --preset name."""
    method = peek(arguments, "--method", "mig_gt")
    if method not in METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(METHODS)}")
    data = peek(arguments, "--data", "lastfm_2k")
    if data not in DATA and not Path(data).is_dir():
        raise ValueError(f"--data {data}: choose one of {', '.join(DATA)}, or give a folder")
    start = preset(method, data, peek(arguments, "--preset", "tuned"))
    about = f"Train MIG-GT or a baseline.\n\n{COMMANDS}"
    return parse(arguments, start, PROGRAM, about)


def _sweep(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Sweep, args=arguments, prog=f"{PROGRAM} sweep")
    from experiments.common.sweep import sweep

    rows = sweep(flags)
    print("\nbest on validation:")
    for row in rows[:10]:
        print(f"  {row[flags.metric]:.4f} +- {row['std']:.4f}  {row['set']}")
    return 0


def _hops(arguments: Sequence[str]) -> int:
    flags = tyro.cli(HopSweep, args=arguments, prog=f"{PROGRAM} hops")
    print(f"picture: {draw_hops(flags)}")
    return 0


def _write_readme() -> object:
    from experiments.mig_gt.tables import write_readme

    return write_readme()
