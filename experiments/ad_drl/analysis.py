"""AD-DRL's own studies: what drives a recommendation, what steering changes; README.md's table.

A user's score is a sum over factors. What a factor adds to every item alike explains no ranking, so
its *lift* is its part of the score less the mean of that part over all items; the factor with the
largest lift drives the recommendation.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.ad_drl.config import Control, Explain
from experiments.common.config import Run
from experiments.common.interactions import load_trained, task_of
from experiments.common.recommend import finish
from mmjax.blocks.losses.disentangle import factor_scores
from mmjax.data.core.catalogue import Attribute
from mmjax.data.core.interactions import Interactions
from mmjax.errors import UserError
from mmjax.evaluation import ranking
from mmjax.models.multimodal import ad_drl
from mmjax.retriever import Vectors, given_vectors, retrieve
from mmjax.runs import seen_rows
from mmjax.viz import curves, style
from mmjax.viz.files import save

FOLDER = Path(__file__).resolve().parent
WEIGHTS = (0.0, 1.0, 8.0)
"""Columns of the table, of each of CURVES."""
CURVES = {"with the losses": "control.csv", "without": "control_without.csv"}


class ExplainedRun(NamedTuple):
    """The best epoch of a run of AD-DRL, with the parts of its scores."""

    run: Run
    data: Interactions
    explanation: ad_drl.Explanation

    @property
    def vectors(self) -> Vectors:
        """User and item vectors, as `ad_drl.steer` compares them."""
        users, items = self.explanation.users, self.explanation.items.fused
        return Vectors(users.reshape(len(users), -1), items.reshape(len(items), -1))


def load_explained(workdir: Path, data_dir: Path | None, manual_dir: Path | None) -> ExplainedRun:
    """Read a run of AD-DRL and its data.

    Raises:
        UserError: no checkpoint in the workdir, or it holds a run of another method.
    """
    run, data, variables = load_trained(workdir, data_dir, manual_dir)
    if run.method != "ad_drl":
        raise UserError(f"{workdir} holds a run of {run.method}; give one of ad_drl")
    task = task_of(data, run.dtype)
    return ExplainedRun(run, data, ad_drl.explain(run.model, task, variables["params"]))


def explain(flags: Explain) -> str:
    """Recommendations with what drives them, as text or as a file; see `explained_rows`.

    Raises:
        UserError: no checkpoint in the workdir, another method's run, no such user, k below 1, or
            an output of unknown ending.
    """
    flags.check()
    explained = load_explained(flags.workdir, flags.data_dir, flags.manual_dir)
    rows = explained_rows(explained, flags.choose(explained.data), flags.k)
    return finish(rows, flags.out, as_text(rows))


def explained_rows(explained: ExplainedRun, users: np.ndarray, k: int) -> list[dict[str, Any]]:
    """One row per recommended item: user, rank, item, title, score, the driving factor, the item's
    value of it and the predicted one with its probability, lifts of all factors, and the modality
    weights in the driving factor.

    Args:
        explained: a finished run.
        users: numbers of users.
        k: items per user.
    """
    data, parts = explained.data, explained.explanation
    score = ad_drl.steer(jnp.ones(len(parts.factors)))
    retriever = given_vectors(data.n_items, score=score)
    queries, seen = users.astype(np.int32), seen_rows(data, users)
    best = retrieve(retriever, explained.vectors, queries, k=k, exclude=seen)
    rows = []
    for user, ids, scores in zip(users, *map(np.asarray, best), strict=True):
        terms = np.asarray(factor_scores(parts.users[user][None], parts.items.fused))
        lifts = terms - terms.mean(0)
        for rank, (item, value) in enumerate(zip(ids, scores, strict=True)):
            if item >= 0:
                place = {"user": data.user_id(int(user)), "rank": rank + 1, "score": float(value)}
                rows.append({**place, **_drivers(explained, int(item), lifts[item])})
    return rows


def _drivers(explained: ExplainedRun, item: int, lifts: np.ndarray) -> dict[str, Any]:
    data, parts = explained.data, explained.explanation
    factor = int(lifts.argmax())
    name = parts.factors[factor]
    row: dict[str, Any] = {
        "item": data.item_id(item),
        "title": data.item_title(item),
        "driver": name,
        "value": None,
        "predicted": None,
        "probability": None,
    }
    if name in data.attributes:
        labels, classes = data.attributes[name]
        chances = np.asarray(parts.values[name][item])
        row["value"] = classes[labels[item]]
        row["predicted"] = classes[int(chances.argmax())]
        row["probability"] = float(chances.max())
    names = [f"{n}_{m}" if parts.factors.count(n) > 1 else n for m, n in enumerate(parts.factors)]
    row |= {f"lift_{n}": float(x) for n, x in zip(names, lifts, strict=True)}
    weights = np.asarray(parts.items.weights[item, factor])
    return row | {f"weight_{n}": float(w) for n, w in zip(parts.modalities, weights, strict=True)}


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of `explained_rows` as text, a block per user."""
    lines: list[str] = []
    for row in rows:
        if row["rank"] == 1:
            lines += ["", f"user {row['user']}"]
        value = ""
        if row["value"] is not None:
            value = f" = {row['value']} (read as {row['predicted']}, {row['probability']:.2f})"
        weights = ", ".join(f"{k[7:]} {v:.2f}" for k, v in row.items() if k.startswith("weight_"))
        lift = max(v for k, v in row.items() if k.startswith("lift_"))
        lines.append(f"  {row['rank']:3d}  {row['score']:6.3f}  {row['title']}")
        lines.append(f"       {row['driver']}{value}, {lift:+.3f}; from {weights}")
    return "\n".join(lines).lstrip("\n")


def control(flags: Control) -> Path:
    """Steer each attribute and draw the shares; returns the picture's path.

    Raises:
        UserError: no checkpoint in the workdir, another method's run, or an attribute without a
            factor.
    """
    explained = load_explained(flags.workdir, flags.data_dir, flags.manual_dir)
    names = flags.attributes or tuple(explained.explanation.values)
    found = {n: shares(explained, n, flags.weights, flags.k) for n in names}
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


def preferred(data: Interactions, attribute: Attribute) -> np.ndarray:
    """The value that each user's training items have most above its share in all of training.

    -1 for users without a training item.
    """
    labels, classes = attribute
    counts = np.zeros((data.n_users, len(classes)))
    np.add.at(counts, (data.train[:, 0], labels[data.train[:, 1]]), 1.0)
    total = counts.sum(1, keepdims=True)
    excess = counts / np.maximum(total, 1) - counts.sum(0) / counts.sum()
    return np.where(total[:, 0] > 0, excess.argmax(1), -1)


def shares(
    explained: ExplainedRun, name: str, weights: Sequence[float], k: int
) -> list[dict[str, Any]]:
    """One row a weight: mean share of the preferred value among each user's k unseen items, and
    the Recall@20 on validation that this ranking keeps.

    Raises:
        UserError: the attribute has no factor in this run.
    """
    data, parts = explained.data, explained.explanation
    if name not in parts.values:
        others = ", ".join(parts.values)
        raise UserError(f"attribute {name!r} has no factor; this run has {others}")
    liked = preferred(data, data.attributes[name])
    users = np.flatnonzero(liked >= 0)
    sizes = data.n_users, data.n_items
    task = ranking.ranking_task(data.valid, data.train, *sizes, users=users)
    labels, rows = data.attributes[name].labels, []
    for weight in weights:
        steered = jnp.ones(len(parts.factors)).at[parts.factors.index(name)].set(weight)
        retriever = given_vectors(data.n_items, score=ad_drl.steer(steered))
        ids = np.asarray(ranking.rank(retriever, explained.vectors, task, k=k).ids)
        has = (labels[ids] == liked[users][:, None]) & (ids >= 0)
        result = ranking.evaluate(retriever, explained.vectors, task, ks=(20,))
        recall = ranking.summarise(result)["recall@20"]
        share = float(has.sum() / np.maximum((ids >= 0).sum(), 1))
        rows.append({"weight": float(weight), "share": share, "recall@20": recall})
    return rows


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    found = {name: recorded_shares(FOLDER / "results" / file) for name, file in CURVES.items()}
    head = [f"{name}, weight {w:g}" for name in found for w in WEIGHTS]
    lines = [["attribute", *head], ["---", *["---:"] * len(head)]]
    for attribute in next(iter(found.values())):
        cells = [f"{curve[attribute][w]:.3f}" for curve in found.values() for w in WEIGHTS]
        lines.append([attribute, *(cell.removeprefix("0") for cell in cells)])
    return {"control": "".join(f"| {' | '.join(line)} |\n" for line in lines)}


def recorded_shares(path: Path) -> dict[str, dict[float, float]]:
    """By attribute and weight, the share of the preferred value that `control` wrote."""
    found: dict[str, dict[float, float]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["metric"] == "share":
                found.setdefault(row["run"], {})[float(row["weight"])] = float(row["mean"])
    return found
