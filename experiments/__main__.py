"""`python -m experiments`: which experiments there are; with a command, one's own data."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from experiments.common import prepare
from experiments.common.experiment import BROKEN_PIPE, Experiment

ROOT = Path(__file__).resolve().parent


def described() -> dict[str, Experiment]:
    """The experiments by the name of their folder, as their `config.py` describes them."""
    found = {}
    for path in sorted(ROOT.glob("*/config.py")):
        config = import_module(f"experiments.{path.parent.name}.config")
        if hasattr(config, "EXPERIMENT"):  # `common` holds the shared options, no experiment
            found[path.parent.name] = config.EXPERIMENT
    return found


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"prepare": prepare.main}
"""Commands on one's own data, by name; each takes its arguments and gives the exit status."""


def main(arguments: Sequence[str]) -> int:
    """Run the command that the arguments begin with, else print the list."""
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    if arguments and arguments[0] not in ("-h", "--help"):
        known = [*COMMANDS, *described()]
        close = difflib.get_close_matches(arguments[0], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(
            f"error: no command {arguments[0]!r}{hint} Commands: {', '.join(COMMANDS)}; an "
            "experiment is python -m experiments.NAME",
            file=sys.stderr,
        )
        return 2
    print(f"commands: {', '.join(COMMANDS)} (each has its own --help); experiments:\n")
    for name, experiment in described().items():
        records = len([*ROOT.glob(f"{name}/results/*/*.json")])
        print(f"{name}: {experiment.title}")
        print(f"  data     {', '.join(experiment.data)}")
        print(f"  results  {records} records; tables in experiments/{name}/README.md")
        print(f"  run      {experiment.program} --help\n")
    return 0


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")
        status = BROKEN_PIPE
    sys.exit(status)
