"""The network of PromptDSI: a frozen encoder whose queries choose prompts from a pool.

Axes: b queries, s tokens, w width, m entries of the pool, k chosen.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Key

from mmjax.blocks.attention import prompt_pool
from mmjax.blocks.attention.pooling import masked_mean
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses import incremental_classifier
from mmjax.encoders.text.bert import Bert
from mmjax.layers.attention import KeysValues
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.models.retrieval.prompt_dsi.stages import Span, Weights


class EncodedQueries(NamedTuple):
    """Queries as the encoder reads them."""

    features: Float[Array, "b w"]
    """Input of the classifier."""
    query: Float[Array, "b w"]
    """Vectors by which prompts are chosen."""
    chosen: prompt_pool.Chosen | None
    """None without a choice."""


def encode(
    config: PromptDSIConfig,
    encoder: Bert,
    weights: Weights,
    ids: Int[Array, "b s"],
    choice: Span = (0, 0),
    *,
    key: Key[Array, ""] | None = None,
) -> EncodedQueries:
    """Features of queries, with prompts where there is a pool.

    Args:
        config: hyper-parameters.
        encoder: the encoder.
        weights: its weights under "encoder", and "pool" if prompts are to be used.
        ids: tokens; padding is never read.
        choice: entries of the pool that may be chosen.
        key: of the encoder's dropout; None is no dropout.
    """
    mask = ids != encoder.config.pad_id
    rngs = {} if key is None else {"dropout": key}
    run = functools.partial(
        encoder.apply, {"params": weights["encoder"]}, rngs=rngs, train=key is not None
    )
    x: Any = run(ids, method="embed")
    first: Any = run(x, mask, layers=(0, config.query_layer), method="run")
    query = _pooled(config, first[-1], mask)
    if config.pooling == "mean":
        query = l2_normalise(query)
    pool = weights.get("pool")
    prefixes, chosen = {}, None
    if pool is not None:
        prompts, chosen = _prompts(config, pool, query, choice)
        prefixes = {n: KeysValues(*own) for n, own in zip(config.prompted, prompts, strict=True)}
    start = 0 if config.two_pass and pool is not None else config.query_layer
    before = x if start == 0 else first[-1]
    last: Any = run(before, mask, layers=(start, None), prefixes=prefixes, method="run")
    features = _pooled(config, last[-1], mask).astype(jnp.float32)
    features = l2_normalise(features) if config.normalise else features
    return EncodedQueries(features, query, chosen)


def _pooled(config: PromptDSIConfig, x: Array, mask: Array) -> Array:
    return x[:, 0] if config.pooling == "cls" else masked_mean(x, mask)


def _prompts(
    config: PromptDSIConfig, pool: Mapping[str, Array], query: Array, choice: Span
) -> tuple[Array, prompt_pool.Chosen | None]:
    where = incremental_classifier.between(config.pool, *choice)
    if config.prompts == "coda":
        weights = prompt_pool.coda_weights(query, pool["attention"], pool["keys"])
        return prompt_pool.mix(pool["prompts"], jnp.where(where[None], weights, 0.0)), None
    k = min(config.top_k, choice[1] - choice[0])
    chosen = prompt_pool.choose(query, pool["keys"], k, where=where)
    return prompt_pool.gather(pool["prompts"], chosen.index, official=config.official), chosen
