"""Commands of an experiment, and the errors that are messages for the user."""

import sys
from collections.abc import Callable, Mapping, Sequence

Command = Callable[[Sequence[str]], int]


def dispatch(
    arguments: Sequence[str], commands: Mapping[str, Command], default: Command, overview: str
) -> int:
    """Run the command that `arguments` begin with, else `default`; returns the exit status.

    What the user can mend (missing files, unknown users, another run in the folder) is printed
    without a traceback and gives status 2, as does a word that is no command, with the overview.
    """
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    command = commands.get(name)
    if command is None:
        if name and not name.startswith("-"):
            print(f"no command {name!r}\n{overview}", file=sys.stderr)
            return 2
        command, rest = default, arguments
    try:
        return command(rest)
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        if not _meant(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def _meant(error: BaseException) -> bool:
    """Whether mmjax or an experiment raised the error, as a message for the user."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return where.startswith(("mmjax.", "experiments."))
