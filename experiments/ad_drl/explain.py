"""Recommendations with the attribute that drives each of them.

A user's score is a sum over factors. What a factor adds to every item alike explains no ranking, so
its *lift* is its part of the score less the mean of that part over all items; the factor with the
largest lift drives the recommendation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from experiments.ad_drl.trained import Trained


@dataclass(frozen=True)
class Explain:
    """Flags of the `explain` command."""

    workdir: Path
    """Folder of a run (with several seeds: of one of them, such as runs/x/seed_0)."""
    users: tuple[str, ...] = ()
    """Raw ids of users; without any, the first five."""
    k: int = 5
    """Items per user."""
    out: Path | None = None
    """File to write instead of the screen: .parquet or .jsonl."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


def explain(flags: Explain) -> list[dict[str, Any]]:
    """One row per recommended item: user, rank, item, title, score, the driving factor, the item's
    value of it and the predicted one with its probability, lifts of all factors, and the modality
    weights in the driving factor.

    Raises:
        CheckpointError: no checkpoint in the workdir.
        LookupError: no such user.
        ValueError: see `load_trained`.
    """
    import jax.numpy as jnp

    from experiments.ad_drl.trained import load_trained
    from experiments.common.recommend import choose_users, seen_rows
    from mmjax.blocks.losses.disentangle import factor_scores
    from mmjax.models.multimodal.ad_drl.objective import steer
    from mmjax.retriever import exclusion, given_vectors

    trained = load_trained(flags.workdir, flags.data_dir, flags.manual_dir)
    known, users = trained.explanation, choose_users(flags.users, trained.data)
    score = steer(jnp.ones(len(known.factors)))
    retriever = given_vectors(trained.data.n_items, score=score)
    seen = exclusion(seen_rows(trained.data, users))
    ids, scores = retriever.retrieve(trained.vectors, jnp.asarray(users), seen, k=flags.k)
    rows = []
    for user, best, values in zip(users, np.asarray(ids), np.asarray(scores), strict=True):
        parts = np.asarray(factor_scores(known.users[user][None], known.items.fused))
        lifts = parts - parts.mean(0)
        for rank, (item, value) in enumerate(zip(best, values, strict=True)):
            if item >= 0:
                row = _row(trained, int(user), int(item), lifts[item])
                rows.append(
                    {"user": row.pop("user"), "rank": rank + 1, "score": float(value), **row}
                )
    return rows


def _row(trained: "Trained", user: int, item: int, lifts: np.ndarray) -> dict[str, Any]:
    data, known = trained.data, trained.explanation
    factor = int(lifts.argmax())
    name = known.factors[factor]
    row: dict[str, Any] = {
        "user": data.user_id(user),
        "item": data.item_id(item),
        "title": data.item_title(item),
        "driver": name,
        "value": None,
        "predicted": None,
        "probability": None,
    }
    if name in data.attributes:
        labels, classes = data.attributes[name]
        chances = np.asarray(known.values[name][item])
        row["value"] = classes[labels[item]]
        row["predicted"] = classes[int(chances.argmax())]
        row["probability"] = float(chances.max())
    names = [f"{n}_{m}" if known.factors.count(n) > 1 else n for m, n in enumerate(known.factors)]
    row |= {f"lift_{n}": float(x) for n, x in zip(names, lifts, strict=True)}
    weights = np.asarray(known.items.weights[item, factor])
    return row | {f"weight_{n}": float(w) for n, w in zip(known.modalities, weights, strict=True)}


def show(rows: list[dict[str, Any]]) -> str:
    """Rows as text, a block per user."""
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
