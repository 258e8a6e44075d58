"""Controllability: the weight of an attribute's factor against what is then recommended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from experiments.ad_drl.trained import Trained
    from mmjax.data.core.catalogue import Attribute
    from mmjax.data.core.interactions import Interactions


@dataclass(frozen=True)
class Control:
    """Flags of the `control` command."""

    workdir: Path
    """Folder of a run."""
    attributes: tuple[str, ...] = ()
    """Attributes to steer, one at a time; without any, all that have a factor."""
    weights: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    """Weights of the attribute's factor; the other factors keep 1."""
    k: int = 10
    """Recommended items that are looked at."""
    out: Path | None = None
    """Picture to write (.png, a .csv beside it); default control.png in the workdir."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


def preferred(data: "Interactions", attribute: "Attribute") -> np.ndarray:
    """The value that each user's training items have most above its share in all of training.

    -1 for users without a training item.
    """
    labels, classes = attribute
    counts = np.zeros((data.n_users, len(classes)))
    np.add.at(counts, (data.train[:, 0], labels[data.train[:, 1]]), 1.0)
    total = counts.sum(1, keepdims=True)
    excess = counts / np.maximum(total, 1) - counts.sum(0) / counts.sum()
    return np.where(total[:, 0] > 0, excess.argmax(1), -1)


def shares(trained: "Trained", name: str, weights: Sequence[float], k: int) -> list[dict[str, Any]]:
    """One row a weight: mean share of the preferred value among each user's k unseen items, and
    the Recall@20 on validation that this ranking keeps.

    Raises:
        ValueError: the attribute has no factor in this run.
    """
    import jax.numpy as jnp

    from mmjax.evaluation import ranking
    from mmjax.models.multimodal.ad_drl.objective import steer
    from mmjax.retriever import given_vectors

    data, known = trained.data, trained.explanation
    if name not in known.values:
        others = ", ".join(known.values)
        raise ValueError(f"attribute {name!r} has no factor; this run has {others}")
    liked = preferred(data, data.attributes[name])
    users = np.flatnonzero(liked >= 0)
    sizes = data.n_users, data.n_items
    task = ranking.ranking_task(data.valid, data.train, *sizes, users=users)
    labels, rows = data.attributes[name].labels, []
    for weight in weights:
        steered = jnp.ones(len(known.factors)).at[known.factors.index(name)].set(weight)
        retriever = given_vectors(data.n_items, score=steer(steered))
        ids = np.asarray(ranking.rank(retriever, trained.vectors, task, k=k).ids)
        has = (labels[ids] == liked[users][:, None]) & (ids >= 0)
        result = ranking.evaluate(retriever, trained.vectors, task, ks=(20,))
        recall = ranking.summarise(result)["recall@20"]
        share = float(has.sum() / np.maximum((ids >= 0).sum(), 1))
        rows.append({"weight": float(weight), "share": share, "recall@20": recall})
    return rows


def control(flags: Control) -> Path:
    """Steer each attribute and draw the shares; returns the picture's path.

    Raises:
        CheckpointError: no checkpoint in the workdir.
        ValueError: see `shares` and `load_trained`.
    """
    from experiments.ad_drl.trained import load_trained
    from mmjax.viz import curves, style
    from mmjax.viz.files import save

    trained = load_trained(flags.workdir, flags.data_dir, flags.manual_dir)
    names = flags.attributes or tuple(trained.explanation.values)
    found = {n: shares(trained, n, flags.weights, flags.k) for n in names}
    figure, panels = style.canvas(1, 2, size=(10.0, 3.4))
    for metric, label, ax in (
        ("share", f"preferred value in the top {flags.k}", panels[0]),
        ("recall@20", "Recall@20 (validation)", panels[1]),
    ):
        curves.compare(found, metric, x="weight", ax=ax)
        ax.set_ylabel(label)
        ax.set_xlabel("weight of the attribute's factor")
    path = flags.out or flags.workdir / "control.png"
    save(figure, path, curves.curve_rows(found, ("share", "recall@20"), x="weight"))
    return path
