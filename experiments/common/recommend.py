"""The frame of the commands that answer from a finished run: flags, rows with names, files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.data.core.catalogue import Catalogue
from mmjax.data.formats.raw_tables import as_text, choose_column, read_source
from mmjax.data.io.files import atomic_path
from mmjax.errors import UserError, user_errors

_ENDINGS = (".parquet", ".jsonl")


@dataclass(frozen=True)
class Answer:
    """Flags of every command that answers for users of a finished run."""

    workdir: Path
    """Folder of a run (with several seeds: of one of them, such as runs/x/seed_0)."""
    users: tuple[str, ...] = ()
    """Raw ids of users; without any, the first five."""
    k: int = 10
    """Items per user."""
    out: Path | None = None
    """File to write instead of the screen: .parquet or .jsonl."""
    data: str | None = None
    """Where the data of the run lie now, if they were moved."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""

    def check(self) -> None:
        """Refuse what can be refused before anything is read.

        Raises:
            UserError: k is below 1, or the output has an unknown ending.
        """
        if self.k < 1:
            raise UserError(f"--k {self.k}: give 1 or more")
        if self.out is not None and self.out.suffix not in _ENDINGS:
            raise UserError(f"--out {self.out}: choose a name that ends in .parquet or .jsonl")

    def choose(self, data: Catalogue) -> np.ndarray:
        """Numbers of the users with these raw ids, each once; without any, of the first five.

        Raises:
            UserError: no such user.
        """
        if not self.users:
            return np.arange(min(5, data.n_users))
        with user_errors():
            return np.array([data.user_index(u) for u in dict.fromkeys(self.users)])


@dataclass(frozen=True)
class Recommend(Answer):
    """Flags of the `recommend` command."""

    all_users: bool = False
    """Recommend to every user."""
    include_seen: bool = False
    """Recommend items of the user's history too."""
    candidates: Path | None = None
    """Table with the columns user and item: the items that may be recommended to each user."""

    def allowed(self) -> dict[str, list[str]] | None:
        """The candidates of each user by raw ids; None without a table.

        Raises:
            DataError: the table cannot be read, or lacks a column.
        """
        if self.candidates is None:
            return None
        source = read_source(self.candidates)
        users, items = (
            as_text(source, choose_column(source, role, None, needed=True) or "").to_pylist()
            for role in ("user", "item")
        )
        found: dict[str, list[str]] = {}
        for user, item in zip(users, items, strict=True):
            found.setdefault(user or "", []).append(item or "")
        return found

    def choose(self, data: Catalogue) -> np.ndarray:
        """As `Answer.choose`, or all users."""
        return np.arange(data.n_users) if self.all_users else super().choose(data)


def finish(rows: list[dict[str, Any]], out: Path | None, text: str | None = None) -> str:
    """Write `rows` to `out` and say so; without `out`, `text`, or the rows as `show` gives them."""
    if out is None:
        return show(rows) if text is None else text
    write(rows, out)
    return f"{len(rows):,} rows in {out}"


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows as Parquet or JSON lines, by the ending of `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), temporary)
        else:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))


def show(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as text, a block per user."""
    lines: list[str] = []
    for row in rows:
        if row["rank"] == 1:
            note = f" ({row['note']})" if "note" in row else ""
            lines += ["", f"user {row['user']}{note}"]
        lines.append(f"  {row['rank']:3d}  {row['score']:8.3f}  {row['title']}")
    return "\n".join(lines).lstrip("\n")
