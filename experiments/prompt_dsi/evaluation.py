"""How well the documents of each corpus are found, stage by stage; fractions."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from mmjax.evaluation import continual

KS = (1, 10)
METRICS = ("hits@1", "hits@10", "mrr@10")


def measures(matrix: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """`evaluation.continual.measures` of every metric, such as "hits@10/A".

    Args:
        matrix: by stage, the scores of each corpus so far; two stages or more.
    """
    figures = {}
    n = len(matrix)
    for metric in METRICS:
        p = np.full((n, n), np.nan, np.float32)
        for t, row in enumerate(matrix):
            p[t, : t + 1] = [s[metric] for s in row]
        own = continual.measures(jnp.asarray(p))
        figures |= {f"{metric}/{name}": float(x) for name, x in own.items()}
    return figures
