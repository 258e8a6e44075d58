"""Top-K recommendations with names from a finished or interrupted run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.config import Run, override
from mmjax.data.core.catalogue import Catalogue
from mmjax.data.core.interactions import Interactions
from mmjax.data.io.files import atomic_path
from mmjax.training.config import flatten


@dataclass(frozen=True)
class Recommend:
    """Flags of the `recommend` command."""

    workdir: Path
    """Folder of a run (with several seeds: of one of them, such as runs/x/seed_0)."""
    users: tuple[str, ...] = ()
    """Raw ids of users; without any, the first five."""
    all_users: bool = False
    """Recommend to every user."""
    k: int = 10
    """Items per user."""
    include_seen: bool = False
    """Recommend training items too."""
    out: Path | None = None
    """File to write instead of the screen: .parquet or .jsonl."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


def read_run(description: dict[str, Any], where: Path) -> Run:
    """The configuration that a run's folder describes.

    Raises:
        ValueError: it is not that of a recommender run.
    """
    from experiments.bench.presets import preset

    try:
        saved = {k: v for k, v in description["run"].items() if k != "data_digest"}
        start = preset(saved["method"], saved["data"])
        return override(start, flatten(saved))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} does not hold a recommender run ({error!r})") from error


def recommend(flags: Recommend) -> list[dict[str, Any]]:
    """One row per recommended item: user, rank, item, title, score.

    Raises:
        CheckpointError: no checkpoint in the workdir.
        KeyError: no such user.
        ValueError: k is below 1 or the output has an unknown ending.
    """
    import dataclasses

    import jax.numpy as jnp

    from experiments.common.problem import build_model, load_data, shrink
    from mmjax.retriever import exclusion, index_of
    from mmjax.training.best import load_best

    if flags.out is not None and flags.out.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"--out {flags.out}: choose a name that ends in .parquet or .jsonl")
    best = load_best(flags.workdir)
    run = read_run(best.description, flags.workdir)
    run = dataclasses.replace(run, data_dir=flags.data_dir, manual_dir=flags.manual_dir)
    data = load_data(run)
    run = shrink(run) if run.smoke else run
    retriever = build_model(run, data).retriever
    index = index_of(retriever, best.variables[0])

    users = np.arange(data.n_users) if flags.all_users else choose_users(flags.users, data)
    rows = []
    for start in range(0, len(users), _CHUNK):
        chunk = users[start : start + _CHUNK]
        seen = None if flags.include_seen else exclusion(seen_rows(data, chunk))
        ids, scores = retriever.retrieve(index, jnp.asarray(chunk), seen, k=flags.k)
        rows += result_rows(data, chunk, np.asarray(ids), np.asarray(scores))
    return rows


_CHUNK = 1024


def choose_users(users: Sequence[str], data: Catalogue) -> np.ndarray:
    """Indices of the users with these raw ids, each once; without any, of the first five.

    Raises:
        LookupError: no such user.
    """
    if not users:
        return np.arange(min(5, data.n_users))
    return np.array([data.user_index(u) for u in dict.fromkeys(users)])


def seen_rows(data: Interactions, users: np.ndarray) -> np.ndarray:
    """(row of `users`, item) of every training pair of these distinct users."""
    row = np.full(data.n_users, -1)
    row[users] = np.arange(len(users))
    pairs = np.stack([row[data.train[:, 0]], data.train[:, 1]], 1)
    return pairs[pairs[:, 0] >= 0].astype(np.int32)


def result_rows(
    data: Catalogue, users: np.ndarray, ids: np.ndarray, scores: np.ndarray
) -> list[dict[str, Any]]:
    """One row per item of `ids`, a row of which belongs to each of `users`; -1 is no item."""
    return [
        {
            "user": data.user_id(int(user)),
            "rank": rank + 1,
            "item": data.item_id(int(item)),
            "title": data.item_title(int(item)),
            "score": float(score),
        }
        for user, items, values in zip(users, ids, scores, strict=True)
        for rank, (item, score) in enumerate(zip(items, values, strict=True))
        if item >= 0
    ]


def finish(
    rows: list[dict[str, Any]], out: Path | None, text: Callable[[list[dict[str, Any]]], str]
) -> int:
    """Print `rows` as `text` gives them, or write them to `out`; returns the exit status."""
    if out is None:
        print(text(rows))
    else:
        write(rows, out)
        print(f"{len(rows):,} rows in {out}")
    return 0


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows as Parquet or JSON lines, by the ending of `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
        else:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))


def show(rows: list[dict[str, Any]], data_name: str = "") -> str:
    """Rows as text, a block per user."""
    lines: list[str] = []
    for row in rows:
        if row["rank"] == 1:
            lines += ["", f"user {row['user']}{data_name and f' of {data_name}'}"]
        lines.append(f"  {row['rank']:3d}  {row['score']:8.3f}  {row['title']}")
    return "\n".join(lines).lstrip("\n")
