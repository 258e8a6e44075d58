"""Flags that decide the defaults of the others, read before these are known."""

from collections.abc import Sequence


def peek(arguments: Sequence[str], flag: str, default: str) -> str:
    """The word given to `flag`, as ``--flag word`` or ``--flag=word``."""
    for n, word in enumerate(arguments):
        if word == flag and n + 1 < len(arguments):
            return arguments[n + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return default
