"""Command line of the MetaMMF experiment.  `--help` of every command imports no JAX."""

from collections.abc import Sequence

import tyro

from experiments.common.commands import dispatch
from experiments.common.config import Run
from experiments.common.flags import peek
from experiments.common.recommend import Recommend
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
        "recommend": _recommend,
        "claim": _claim,
        "depth": _depth,
        "tables": _tables,
    }
    return dispatch(arguments, commands, _train, COMMANDS)


def parse_run(arguments: Sequence[str]) -> Run:
    """Flags of the training command over the preset that --data and --preset name."""
    kind = peek(arguments, "--preset", "tuned")
    start = preset(peek(arguments, "--data", "lastfm_2k"), kind)
    return tyro.cli(
        Run[type(start.model)],
        args=arguments,
        default=start,
        prog=PROGRAM,
        description=f"Train MetaMMF.\n\n{COMMANDS}",
    )


def _train(arguments: Sequence[str]) -> int:
    run = parse_run(arguments)
    from experiments.bench.presets import preset as any_preset
    from experiments.common.train import train

    return train(run, any_preset)


def _recommend(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Recommend, args=arguments, prog=f"{PROGRAM} recommend")
    from experiments.common import recommend

    return recommend.finish(recommend.recommend(flags), flags.out, recommend.show)


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


def _tables(arguments: Sequence[str]) -> int:
    if arguments:
        raise ValueError("tables takes no flags")
    from experiments.meta_mmf.tables import write_readme

    print(f"wrote {write_readme()}")
    return 0
