"""Hyper-parameters by data set.  Imports no JAX.

"paper" is the released code, which leaves most targets in their sources, scales no feature and
starts codebooks at random; "tuned" was chosen on validation here.
"""

from typing import Any

from experiments.common.config import Adam, Optim, override
from experiments.mmgrec.config import Generator, Graph, MMGRec, Quantiser, Writing
from mmjax.models.generative.mmgrec.config import GeneratorConfig, GraphConfig
from mmjax.models.generative.rq_vae.config import MMGREC, RQVAEConfig
from mmjax.training.config import FitConfig

DATA = ("lastfm_2k", "tiktok", "ml_small_mm", "topics")
MSE = "reconstruction/mse"


def paper(data: str) -> MMGRec:
    """The released code's settings; features have length one, since VGGish's bytes diverge raw."""
    return MMGRec(
        Graph(
            GraphConfig(),
            Optim(batch_size=3000, negatives=5, sampler="fixed", weight_decay=1e-6),
            FitConfig(epochs=60, eval_every=60, patience=0, metric="recall@20"),
        ),
        Quantiser(
            MMGREC,
            Adam(batch_size=1024, weight_decay=1e-4),
            FitConfig(epochs=60, eval_every=60, patience=0, metric=MSE, maximise=False),
        ),
        Generator(
            GeneratorConfig(affine_ln=False, shared_vocab=True),
            Writing(
                optimiser="sgd",
                warmup=0,
                weight_decay=1e-5,
                batch_size=3000,
                source_excludes_target=False,
                redraw=False,
            ),
            FitConfig(epochs=60, eval_every=60, patience=0, metric="recall@10"),
        ),
        data=data,
        preset="paper",
    )


def tuned(data: str) -> MMGRec:
    """The settings chosen on validation here."""
    return MMGRec(
        Graph(
            GraphConfig(hidden_dropout=0.2, output_dropout=0.0),
            Optim(learning_rate=5e-3, batch_size=2048, negatives=16),
            FitConfig(epochs=200, eval_every=5, patience=30, metric="recall@20"),
        ),
        Quantiser(
            RQVAEConfig(
                widths=(64,),
                latent=16,
                sizes=(128,) * 3,
                normalise="standard",
                learning="ema",
                reduction="sum",
            ),
            Adam(batch_size=1024),
            FitConfig(epochs=300, eval_every=50, patience=0, metric=MSE, maximise=False),
        ),
        Generator(
            GeneratorConfig(),
            Writing(batch_size=512, targets=4),
            FitConfig(epochs=200, eval_every=5, patience=30, metric="recall@10"),
        ),
        data=data,
    )


_OF_DATA: dict[str, dict[str, Any]] = {
    # Six training items a user: the graph stage overfits within a few epochs.
    "tiktok": {
        "graph.optim.learning_rate": 1e-3,
        "graph.model.hidden_dropout": 0.5,
        "graph.model.output_dropout": 0.2,
    },
    "topics": {
        "graph.fit.epochs": 60,
        "quantiser.model.sizes": (16,) * 3,
        "quantiser.model.latent": 8,
        "generator.optim.batch_size": 128,
        "generator.optim.warmup": 100,
        "generator.fit.epochs": 60,
        "widths": (20,),
    },
}
"""What small or sparse data need otherwise."""


def preset(data: str, kind: str = "tuned") -> MMGRec:
    """The settings of MMGRec on `data`."""
    return paper(data) if kind == "paper" else override(tuned(data), _OF_DATA.get(data, {}))
