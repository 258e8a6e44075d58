"""How well documents are found, and how prompts are used.

Axes: a asked queries, f found documents, t stages.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from mmjax.evaluation import continual

METRICS = ("hits@1", "hits@10", "mrr@10")


def scores(found: Int[np.ndarray, "a f"], gold: Int[np.ndarray, "a"]) -> dict[str, float]:
    """Hits@1, Hits@10 and MRR@10 in percent; one document is right for each query."""
    hits = np.asarray(found)[:, :10] == gold[:, None]
    rank = hits.argmax(1) + 1
    reciprocal = np.where(hits.any(1), 1.0 / rank, 0.0)
    values = (hits[:, 0], hits.any(1), reciprocal)
    return {name: 100.0 * float(x.mean()) for name, x in zip(METRICS, values, strict=True)}


@jax.jit
def _measures(p: jax.Array) -> dict[str, jax.Array]:
    return {
        "A": continual.average(p),
        "F": continual.forgetting(p),
        "F_new": continual.forgetting(p, include_initial=False),
        "LA": continual.learning(p),
        "BWT": continual.backward_transfer(p),
        "D0": p[-1, 0],
        "D0_lost": p[0, 0] - p[-1, 0],
        "new": p[-1, 1:].mean(),
    }


def measures(matrix: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """The measures of `evaluation.continual` for every metric, such as "hits@10/A".

    "F" counts the first corpus and "F_new" does not; "D0" and "new" are the final scores of the
    first corpus and of the later ones.

    Args:
        matrix: by stage, the scores of each corpus so far; two stages or more.
    """
    found = {}
    n = len(matrix)
    for metric in METRICS:
        p = np.full((n, n), np.nan, np.float32)
        for t, row in enumerate(matrix):
            p[t, : t + 1] = [s[metric] for s in row]
        found |= {f"{metric}/{k}": float(x) for k, x in _measures(jnp.asarray(p)).items()}
    return found


def rows_of_new(found: Int[np.ndarray, "a f"], first: int, rows: np.ndarray) -> dict[str, float]:
    """What new rows do to old queries, beside what they should do.

    "intrusion" is the share of the first corpus's queries whose best document is a new one, in
    percent; "norm_ratio" the mean norm of the new rows over that of the old ones. Training new
    rows against each other alone bounds neither.
    """
    norms = np.linalg.norm(rows, axis=1)
    return {
        "intrusion": 100.0 * float((np.asarray(found)[:, 0] >= first).mean()),
        "norm_ratio": float(norms[first:].mean() / norms[:first].mean()),
    }
