"""A trained AD-DRL from the folder of its run."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from experiments.common.config import Run
from experiments.common.problem import build_task, load_data, shrink
from experiments.common.recommend import read_run
from mmjax.data.core.interactions import Interactions
from mmjax.models.multimodal.ad_drl.objective import Explanation, explain
from mmjax.retriever import Vectors
from mmjax.training.best import load_best


class Trained(NamedTuple):
    """The best epoch of a run."""

    run: Run
    data: Interactions
    explanation: Explanation

    @property
    def vectors(self) -> Vectors:
        """User and item vectors, as `steer` compares them."""
        users, items = self.explanation.users, self.explanation.items.fused
        return Vectors(users.reshape(len(users), -1), items.reshape(len(items), -1))


def load_trained(workdir: Path, data_dir: Path | None, manual_dir: Path | None) -> Trained:
    """Read a run of AD-DRL and its data.

    Raises:
        CheckpointError: no checkpoint in the workdir.
        ValueError: it holds a run of another method.
    """
    best = load_best(workdir)
    run = read_run(best.description, workdir)
    if run.method != "ad_drl":
        raise ValueError(f"{workdir} holds a run of {run.method}; give one of ad_drl")
    run = dataclasses.replace(run, data_dir=data_dir, manual_dir=manual_dir)
    data = load_data(run)
    run = shrink(run) if run.smoke else run
    explanation = explain(run.model, build_task(run, data), best.variables[0]["params"])
    return Trained(run, data, explanation)
