"""Flags of a run over the preset that some of them name, and the commands all experiments have.

Nothing here imports JAX before a command runs, so that `--help` answers at once.
"""

from collections.abc import Callable, Sequence

import tyro

from experiments.common.commands import Command
from experiments.common.config import Run
from experiments.common.recommend import Recommend


def peek(arguments: Sequence[str], flag: str, default: str) -> str:
    """The word given to `flag`, as ``--flag word`` or ``--flag=word``."""
    for n, word in enumerate(arguments):
        if word == flag and n + 1 < len(arguments):
            return arguments[n + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return default


def parse(arguments: Sequence[str], start: Run, program: str, about: str) -> Run:
    """The run that `arguments` describe, where they say nothing that of `start`."""
    return tyro.cli(
        Run[type(start.model)], args=arguments, default=start, prog=program, description=about
    )


def parse_preset(
    arguments: Sequence[str],
    preset: Callable[[str, str], Run],
    data: str,
    program: str,
    about: str,
) -> Run:
    """The run that `arguments` describe over the preset that their --data and --preset name.

    Args:
        arguments: of the training command.
        preset: gives the settings for a data set and a kind.
        data: the data set when none is named.
        program: as the user calls it.
        about: the head of `--help`.
    """
    named = peek(arguments, "--data", data), peek(arguments, "--preset", "tuned")
    return parse(arguments, preset(*named), program, about)


def train_command(parse_run: Callable[[Sequence[str]], Run]) -> Command:
    """The command that trains what its flags describe, beside any other method of the bench."""

    def command(arguments: Sequence[str]) -> int:
        run = parse_run(arguments)
        from experiments.bench.presets import preset
        from experiments.common.train import train

        return train(run, preset)

    return command


def recommend_command(program: str) -> Command:
    """The command `recommend` of an experiment."""

    def command(arguments: Sequence[str]) -> int:
        flags = tyro.cli(Recommend, args=arguments, prog=f"{program} recommend")
        from experiments.common import recommend

        return recommend.finish(recommend.recommend(flags), flags.out, recommend.show)

    return command


def tables_command(write: Callable[[], object]) -> Command:
    """The command `tables`, which takes no flags and says what it wrote."""

    def command(arguments: Sequence[str]) -> int:
        if arguments:
            raise ValueError("tables takes no flags")
        print(f"wrote {write()}")
        return 0

    return command
