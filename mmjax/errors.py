"""Errors that are messages for the user."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something that the user can mend: the message says what is wrong, where, and what to do.

    The base of all errors of this kind. Commands print it without a traceback.
    """


@contextmanager
def user_errors() -> Iterator[None]:
    """Within it, refused settings, unknown names and missing files are the user's to mend.

    For code that hands on what the user gave before any work begins. A `ValueError`, `LookupError`
    or `OSError` in it becomes a `UserError` with the same message.
    """
    try:
        yield
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    except LookupError as error:
        # A KeyError's text is the quoted form of its argument.
        raise UserError(str(error.args[0]) if error.args else str(error)) from error
