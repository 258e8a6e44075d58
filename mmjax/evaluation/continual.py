"""Measures of what a learner keeps and gains when tasks come one after the other.

Every measure reads one matrix: `scores[t, i]` is the score on task i after learning task t, larger
being better, task 0 the initial one. What lies above the diagonal is read by `forward_transfer`
alone and may be NaN.

Axes: t tasks, q queries, k candidates found, n rows, d width.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

Scores = Float[Array, "t t"]


def average(scores: Scores) -> Float[Array, ""]:
    """A: mean over all tasks after the last one (DSI++, S. V. Mehta et al., arXiv 2212.09744)."""
    return scores[-1].mean()


def average_incremental(scores: Scores) -> Float[Array, ""]:
    """Mean over time of the mean over the tasks so far."""
    seen = _seen(scores)
    return (jnp.where(seen, scores, 0.0).sum(1) / seen.sum(1)).mean()


def forgetting(
    scores: Scores,
    *,
    include_initial: bool = True,
    kind: Literal["earlier", "ever", "steps"] = "earlier",
) -> Float[Array, ""]:
    """F: mean over earlier tasks of what was lost since they were known best; 0 for one task.

    Args:
        scores: the matrix.
        include_initial: whether task 0 counts among the earlier ones. DSI++ counts it; the tables
            of MixLoRA-DSI (arXiv 2507.09924) do not.
        kind: the best is looked for "earlier" than the last task, so that a task that improved
            counts as negative (A. Chaudhry et al., ECCV 2018; DSI++); or "ever", which ends at 0
            (L2P's code); "steps" is the mean over time of the mean fall in one step
            (CODA-Prompt's code).

    Raises:
        ValueError: no such `kind`.
    """
    first, last = 0 if include_initial else 1, scores.shape[0] - 1
    if kind not in ("earlier", "ever", "steps"):
        raise ValueError(f"forgetting: kind {kind!r}; choose 'earlier', 'ever' or 'steps'")
    if last <= first:
        return jnp.zeros(())
    if kind == "steps":
        old = jnp.tril(jnp.ones((last, last), bool))[:, first:]
        fall = jnp.where(old, scores[:-1, first:last] - scores[1:, first:last], 0.0)
        number = old.sum(1)
        return (fall.sum(1) / jnp.maximum(number, 1)).sum() / (number > 0).sum()
    known = jnp.where(_seen(scores), scores, -jnp.inf)[:, first:last]
    best = (known if kind == "ever" else known[:-1]).max(0)
    return (best - scores[-1, first:last]).mean()


def learning(scores: Scores, *, include_initial: bool = False) -> Float[Array, ""]:
    """LA: mean score of each task just after it was learnt (DSI++, which leaves task 0 out).

    The "FWT" of MixLoRA-DSI's tables is this mean.

    Raises:
        ValueError: there is no task to average over.
    """
    own = jnp.diagonal(scores)[0 if include_initial else 1 :]
    if not own.size:
        raise ValueError("learning: there is no task beside the initial one")
    return own.mean()


def backward_transfer(scores: Scores) -> Float[Array, ""]:
    """BWT: mean over tasks but the last of the final score less that just after learning it.

    D. Lopez-Paz, M. Ranzato, NeurIPS 2017, arXiv 1706.08840; 0 for one task.
    """
    change = scores[-1, :-1] - jnp.diagonal(scores)[:-1]
    return change.mean() if change.size else jnp.zeros(())


def forward_transfer(scores: Scores, untrained: Float[Array, "t"]) -> Float[Array, ""]:
    """FWT: mean over later tasks of the score just before learning one, less an untrained model's.

    Reads the entries right above the diagonal (arXiv 1706.08840); 0 for one task. A classifier
    has no row for a document that has not arrived, so that in document retrieval both are 0;
    there, compare `learning` with that of a model trained on each corpus alone.
    """
    gain = jnp.diagonal(scores, 1) - untrained[1:]
    return gain.mean() if gain.size else jnp.zeros(())


def f_beta(
    new: float | int | Float[Array, "*b"],
    old: float | int | Float[Array, "*b"],
    *,
    beta: float = 1.0,
) -> Float[Array, "*b"]:
    """``(1 + b^2) new old / (b^2 new + old)``, 0 where both are; a large beta favours `old`.

    The measure by which IncDSI (arXiv 2307.10323) and PromptDSI select on validation.
    """
    new, old = jnp.asarray(new, jnp.float32), jnp.asarray(old, jnp.float32)
    below = beta**2 * new + old
    return jnp.where(below > 0, (1 + beta**2) * new * old / jnp.where(below > 0, below, 1.0), 0.0)


@jax.jit
def measures(scores: Scores) -> dict[str, Float[Array, ""]]:
    """The measures that tables of document retrieval show, for two tasks or more.

    "A", "F" (which counts the first task), "F_new" (which does not), "LA", "BWT"; "D0" and "new"
    are the final scores of the first task and of the later ones, "D0_lost" the fall of the first.
    """
    return {
        "A": average(scores),
        "F": forgetting(scores),
        "F_new": forgetting(scores, include_initial=False),
        "LA": learning(scores),
        "BWT": backward_transfer(scores),
        "D0": scores[-1, 0],
        "D0_lost": scores[0, 0] - scores[-1, 0],
        "new": scores[-1, 1:].mean(),
    }


def measures_by_metric(
    matrix: Sequence[Sequence[Mapping[str, float]]], metrics: Sequence[str]
) -> dict[str, float]:
    """`measures` of several metrics, such as "hits@10/A".

    Args:
        matrix: by stage, the metrics of each task so far; two stages or more.
        metrics: those to measure.
    """
    figures = {}
    n = len(matrix)
    for metric in metrics:
        scores = np.full((n, n), np.nan, np.float32)
        for t, row in enumerate(matrix):
            scores[t, : t + 1] = [values[metric] for values in row]
        own = measures(jnp.asarray(scores))
        figures |= {f"{metric}/{name}": float(x) for name, x in own.items()}
    return figures


def rows_of_new(
    ids: Int[np.ndarray, "q k"], first: int, rows: Float[np.ndarray, "n d"]
) -> dict[str, float]:
    """Effects of new rows of a growing classifier on old queries.

    "intrusion" is the share of the old queries whose best row is a new one; "norm_ratio" the mean
    norm of the new rows over that of the old ones. Training new rows against each other alone
    bounds neither.

    Args:
        ids: rows found for queries of the first task, best first.
        first: the first new row.
        rows: all rows.
    """
    norms = np.linalg.norm(rows, axis=1)
    return {
        "intrusion": float((ids[:, 0] >= first).mean()),
        "norm_ratio": float(norms[first:].mean() / norms[:first].mean()),
    }


def _seen(scores: Array) -> Array:
    return jnp.tril(jnp.ones(scores.shape, bool))
