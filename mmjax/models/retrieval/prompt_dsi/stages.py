"""The stages of PromptDSI (arXiv 2406.12593): trained parts out of all weights and back in.

Axes: n rows, m entries of the pool, w width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jaxtyping import Float, Key

from mmjax.encoders.text.bert import Bert
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig

TRAINED = {
    "topic": ("prompts",),
    "l2p": ("prompts", "keys"),
    "s++": ("prompts", "keys"),
    "coda": ("prompts", "keys", "attention"),
}
"""Parts of the pool that each variant trains."""

Weights = dict[str, Any]
"""All there is: "encoder", "rows" ``[n w]``, and "pool", absent before there are prompts."""
Span = tuple[int, int]


@dataclass(frozen=True)
class CorpusStage:
    """Trained and known parts of one stage; spans are from the first to behind the last."""

    rows: Span
    """Rows that are trained; they alone compete in training."""
    count: int
    """Rows in use when it is over."""
    encoder: bool = False
    """Whether the encoder is trained."""
    trained: tuple[str, ...] = ()
    """Parts of the pool that are trained."""
    entries: Span = (0, 0)
    """Entries of the pool that are trained."""
    choice: Span = (0, 0)
    """Entries that training may choose."""
    known: Span = (0, 0)
    """Entries that may be chosen afterwards."""


def initial_stage(count: int) -> CorpusStage:
    """The first corpus: encoder and rows, all rows compete."""
    return CorpusStage((0, count), count, encoder=True)


def prompt_stage(
    config: PromptDSIConfig, number: int, stages: int, old: int, new: int
) -> CorpusStage:
    """New corpus `number` of `stages`, counted from 1: its rows and the pool.

    Raises:
        ValueError: the pool has no entry for each of the corpora that divide it.
    """
    everything, entries = (0, config.pool), (0, config.pool)
    choice = known = everything
    if config.prompts in ("s++", "coda"):
        share = config.pool // stages
        if not share:
            raise ValueError(f"a pool of {config.pool} entries for {stages} corpora: enlarge it")
        # The last corpus takes what does not divide.
        stop = config.pool if number == stages else share * number
        entries, known = (share * (number - 1), stop), (0, stop)
        choice = entries if config.prompts == "s++" else known
    trained = TRAINED[config.prompts]
    return CorpusStage((old, old + new), old + new, False, trained, entries, choice, known)


def rows_stage(old: int, new: int) -> CorpusStage:
    """A new corpus's rows alone, without prompts."""
    return CorpusStage((old, old + new), old + new)


def tuning_stage(old: int, new: int) -> CorpusStage:
    """Encoder and all rows, which all compete: sequential fine-tuning."""
    return CorpusStage((0, old + new), old + new, encoder=True)


def new_rows(key: Key[Array, ""], n: int, width: int) -> Float[Array, "n w"]:
    """Classifier rows as a linear layer starts them: U(-1, 1) over the root of the width."""
    bound = width**-0.5
    return jax.random.uniform(key, (n, width), minval=-bound, maxval=bound)


def new_pool(
    key: Key[Array, ""],
    config: PromptDSIConfig,
    encoder: Bert,
    keys: Float[Array, "m w"] | None = None,
) -> dict[str, Array]:
    """Prompts from U(-1, 1), keys as given (topics) or drawn.

    Raises:
        ValueError: there are not as many keys as entries, a topic pool has none, or a prompted
            layer is not there.
    """
    c, m, w = encoder.config, config.pool, encoder.config.width
    if not max(config.prompted) < c.layers or config.query_layer > c.layers:
        raise ValueError(
            f"PromptDSI: prompts in layers {config.prompted} after {config.query_layer} layers of "
            f"an encoder of {c.layers}"
        )
    if (keys is None) == (config.prompts == "topic") or (keys is not None and keys.shape != (m, w)):
        raise ValueError(
            f"PromptDSI: keys of shape {None if keys is None else keys.shape} for a pool "
            f"{config.prompts!r} of {m} entries of width {w}; topics bring keys, others learn them"
        )
    k_prompts, k_keys, k_attention = jax.random.split(key, 3)
    shape = len(config.prompted), 2, m, config.length, c.heads, w // c.heads
    prompts = jax.random.uniform(k_prompts, shape, minval=-1.0)
    if keys is None:
        keys = jax.random.uniform(k_keys, (m, w), minval=-1.0)
    pool = {"prompts": prompts, "keys": keys}
    if config.prompts == "coda":
        pool["attention"] = jax.random.uniform(k_attention, (m, w), minval=-1.0)
    return pool


def split(stage: CorpusStage, weights: Weights) -> tuple[dict[str, Any], Weights]:
    """The trained part of a stage, cut out of the weights; and the weights, for the rest."""
    params = {"rows": weights["rows"][slice(*stage.rows)]}
    if stage.encoder:
        params["encoder"] = weights["encoder"]
    pool = weights.get("pool", {})
    parts = {name: _entries(name, pool[name], stage.entries) for name in stage.trained}
    frozen = {n: x for n, x in weights.items() if n != "encoder" or not stage.encoder}
    return (params | {"pool": parts} if parts else params), frozen


def join(stage: CorpusStage, params: Mapping[str, Any], frozen: Weights) -> Weights:
    """All weights with what was trained put in its place; everything else bit for bit."""
    weights = dict(frozen)
    weights["rows"] = frozen["rows"].at[slice(*stage.rows)].set(params["rows"])
    if stage.encoder:
        weights["encoder"] = params["encoder"]
    if stage.trained:
        weights["pool"] = dict(frozen["pool"])
        for name, part in params["pool"].items():
            place = _place(name, stage.entries)
            weights["pool"][name] = frozen["pool"][name].at[place].set(part)
    return weights


def _place(name: str, entries: Span) -> Any:
    return (slice(None),) * (2 if name == "prompts" else 0) + (slice(*entries),)


def _entries(name: str, x: Array, entries: Span) -> Array:
    return x[_place(name, entries)]
