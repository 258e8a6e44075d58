"""What a query costs as the gallery grows: a walk down a trie, and a scan of all vectors.

Models and galleries are random: times do not depend on what was learnt. The scan is that of
scoring and choosing the best alone; the two towers' text tower costs the same whatever the gallery.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.avg.config import Cost
from experiments.benchmarks.growth import Program, draw, measure, program, write
from mmjax.blocks.ranking.topk import top_k
from mmjax.models.retrieval import avg
from mmjax.models.retrieval.avg.config import AVGConfig
from mmjax.models.retrieval.avg.network import AVG

_WORDS, _LENGTH, _LEVELS = 1000, 16, 4
SCAN, WRITE = "scan all vectors", "write vokens"


def candidates(flags: Cost, images: int) -> dict[str, Program]:
    """Both ways to answer, for a gallery of random vokens and vectors."""
    config = AVGConfig(
        width=flags.model_width,
        layers=3,
        heads=4,
        head_width=max(1, flags.model_width // 4),
        hidden=4 * flags.model_width,
        dropout=0.0,
        beams=flags.beams,
    )
    sizes = (flags.codes,) * _LEVELS
    model = AVG(config, _WORDS, sizes)
    query = jnp.full((flags.queries, _LENGTH), 5, jnp.int32)
    params = model.init(jax.random.key(0), query[:1], jnp.zeros((1, 1, _LEVELS), jnp.int32))
    drawn = np.random.default_rng(0).integers(0, flags.codes, (images, _LEVELS))
    trie = avg.gallery_trie(drawn.astype(np.int32), sizes, np.arange(images))
    retrieve = avg.gallery_retriever(model, trie, images).retrieve
    texts, vectors = (
        jax.random.normal(jax.random.key(n), (n, flags.width)) for n in (flags.queries, images)
    )
    k = min(flags.beams, images)
    return {
        SCAN: program(lambda q, v: top_k(q @ v.T, k), texts, vectors),
        WRITE: program(
            lambda r, p, q: r(p, q, None, k=flags.beams), retrieve, params["params"], query
        ),
    }


def cost(flags: Cost) -> Path:
    """Measure, print, write the JSON and draw the picture; returns the picture's path."""
    rows = measure(
        lambda n: candidates(flags, n), flags.sizes, SCAN, rounds=flags.rounds, unit="images"
    )
    settings = {n: getattr(flags, n) for n in ("queries", "width", "model_width", "beams", "codes")}
    write(flags.out, rows, **settings)
    y = f"ms for {flags.queries} {'query' if flags.queries == 1 else 'queries'}"
    path = flags.out.with_suffix(".png")
    return draw(rows, path, unit="images", x="images in the gallery", y=y)
