"""Latency of one query as the gallery grows: a walk down a trie, and a scan of all vectors.

Models and galleries are random: times do not depend on what was learnt. The two towers' time is
that of scoring and choosing the best alone; their text tower costs the same whatever the gallery.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.avg.config import Cost
from mmjax.blocks.topk import top_k
from mmjax.models import avg
from mmjax.models.avg_network import AVG
from mmjax.models.configs.avg import AVGConfig

_WORDS, _LENGTH, _LEVELS = 1000, 16, 4


def cost(flags: Cost) -> list[dict[str, float]]:
    """Median milliseconds of a query by both, for each size of the gallery."""
    config = AVGConfig(
        width=flags.model_width,
        layers=3,
        heads=4,
        head_width=max(1, flags.model_width // 4),
        hidden=4 * flags.model_width,
        dropout=0.0,
        beams=flags.beams,
        found=flags.beams,
    )
    sizes = (flags.codes,) * _LEVELS
    model = AVG(config, _WORDS, sizes)
    query = jnp.full((1, _LENGTH), 5, jnp.int32)
    params = model.init(jax.random.key(0), query, jnp.zeros((1, 1, _LEVELS), jnp.int32))["params"]
    walk = jax.jit(avg.search, static_argnums=0)
    draw, rows = np.random.default_rng(0), []
    for n in flags.sizes:
        codes = draw.integers(0, flags.codes, (n, _LEVELS)).astype(np.int32)
        trie = avg.pool_trie(codes, sizes, np.arange(n))
        vectors = jax.random.normal(jax.random.key(n), (n, flags.width))
        k = min(flags.beams, n)
        rows.append(
            {
                "images": float(n),
                "avg_ms": _median(flags.repeats, lambda t=trie: walk(model, params, t, query)),
                "two_tower_ms": _median(flags.repeats, lambda v=vectors, k=k: _scan(v, k)),
            }
        )
    return rows


@partial(jax.jit, static_argnums=1)
def _scan(vectors: jax.Array, k: int) -> Any:
    return top_k(vectors[:1] @ vectors.T, k)


def _median(repeats: int, f: Callable[[], Any]) -> float:
    jax.block_until_ready(f())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(f())
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times), 3)
