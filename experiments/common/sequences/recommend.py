"""What comes next for users of a finished or interrupted run, with names."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.config import override
from experiments.common.methods import SEQUENCE_METHODS
from experiments.common.sequences.config import SequenceRun
from mmjax.training.config import flatten


@dataclass(frozen=True)
class RecommendNext:
    """Flags of the `recommend` command."""

    workdir: Path
    """Folder of a run (with several seeds: of one of them, such as runs/x/seed_0)."""
    users: tuple[str, ...] = ()
    """Raw ids of users; without any, the first five."""
    k: int = 10
    """Items per user."""
    include_seen: bool = False
    """Recommend items of the user's history too."""
    out: Path | None = None
    """File to write instead of the screen: .parquet or .jsonl."""
    data_dir: Path | None = None
    """Where prepared data are cached."""


def recommend(flags: RecommendNext) -> list[dict[str, Any]]:
    """One row per recommended item: user, rank, item, title, score.

    What comes after all that is known of a user, the held-out items included.

    Raises:
        CheckpointError: no checkpoint in the workdir.
        LookupError: no such user.
        ValueError: the folder holds no run on sequences.
    """
    from experiments.common.recommend import choose_users, result_rows
    from experiments.common.sequences.problem import load_data, shrink
    from mmjax.data.core.sequences import Windows
    from mmjax.training.best import load_best

    best = load_best(flags.workdir)
    run = _read_run(best.description, flags)
    data = load_data(run)
    run = shrink(run) if run.smoke else run
    users = choose_users(flags.users, data)
    windows = Windows(users.astype(np.int32), data.offsets[users], data.offsets[users + 1])
    new = not flags.include_seen
    ids, scores = SEQUENCE_METHODS[run.method].top(
        run, data, best.variables[0], windows, k=flags.k, new=new
    )
    return result_rows(data, users, ids, scores)


def _read_run(description: dict[str, Any], flags: RecommendNext) -> SequenceRun:
    try:
        saved = {k: v for k, v in description["run"].items() if k != "data_digest"}
        model = SEQUENCE_METHODS[saved["method"]].config_class()()
        run = override(SequenceRun(model), flatten(saved))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{flags.workdir} holds no run on sequences ({error!r})") from error
    return dataclasses.replace(run, data_dir=flags.data_dir, workdir=flags.workdir)
