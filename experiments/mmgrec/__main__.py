"""`python -m experiments.mmgrec`: the commands of its `config.EXPERIMENT`."""

import sys
from collections.abc import Sequence
from types import ModuleType

from experiments.mmgrec.config import EXPERIMENT


def story() -> ModuleType:
    """The module that does the work; it loads JAX, so that it is imported when needed."""
    from experiments.mmgrec import run

    return run


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    return EXPERIMENT.main(arguments, story)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
