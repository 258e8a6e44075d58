"""`python -m experiments prepare-corpus`: documents, queries and judgements to a BEIR folder."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.prepare import exit_status
from mmjax.errors import UserError, user_errors

PROGRAM = "python -m experiments prepare-corpus"


@dataclass(frozen=True)
class PrepareCorpus:
    """Flags of the command."""

    out: Path
    """Folder to write."""
    documents: Path
    """Documents: columns id, text, and title if there is one. CSV, TSV, JSON lines or Parquet."""
    queries: Path
    """Queries: columns id and text."""
    judgements: Path | None = None
    """What answers which: columns query, document, grade, split; without a split all is test."""
    train: Path | None = None
    """Judgements to train on, in place of a column split."""
    valid: Path | None = None
    """Judgements to validate on."""
    test: Path | None = None
    """Judgements to test on."""
    name: str = ""
    """Name of the collection; default is the folder's."""


def prepare(flags: PrepareCorpus) -> str:
    """Read, check and write; returns what was written.

    Raises:
        UserError: a file is missing or broken, judgements are given twice, or the folder is not
            empty.
    """
    from mmjax.data import prepare_corpus

    given = {p: f for p in ("train", "valid", "test") if (f := getattr(flags, p)) is not None}
    if given and flags.judgements is not None:
        raise UserError(f"--judgements and --{next(iter(given))}: give one of them")
    if flags.out.exists() and (not flags.out.is_dir() or any(flags.out.iterdir())):
        raise UserError(f"--out {flags.out} is there already and is not empty; name another folder")
    judgements = flags.judgements if flags.judgements is not None else given
    name = flags.name or flags.out.resolve().name
    with user_errors():
        try:
            corpus = prepare_corpus(
                flags.documents, flags.queries, judgements, name=name, out=flags.out
            )
        except OSError as error:
            raise UserError(str(error)) from error
    return f"{corpus}\nwritten to {flags.out}"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status, 2 for an error that the user can mend."""
    flags = tyro.cli(
        PrepareCorpus,
        args=arguments,
        prog=PROGRAM,
        description="Documents, queries and judgements to a BEIR folder.",
    )
    return exit_status(lambda: prepare(flags))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
