"""Commands that bring data of one's own into the form that the experiments read."""

import sys
from collections.abc import Callable

from mmjax.errors import UserError


def exit_status(work: Callable[[], str]) -> int:
    """Print what `work` says was done; 2, with one line, for what the user can mend, else 0."""
    try:
        print(work())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
