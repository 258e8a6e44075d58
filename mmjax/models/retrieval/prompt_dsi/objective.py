"""PromptDSI: documents as rows of a growing classifier over a frozen encoder with prompts.

T.-L. Huynh et al., ECML PKDD 2025, arXiv 2406.12593. The first corpus trains encoder and rows
without prompts. Each later one trains its own rows and the prompts; what is not trained stands in
the collection "frozen" and gets neither gradient nor update nor decay.

Differences from the released code: keys and values are gathered, not reshaped (switch
`official_layout`); the softmax is over the current corpus's rows alone, which is what masking the
others amounts to; entries of corpora to come are never chosen.

Axes: b queries, s tokens, w width, n rows, m entries of the pool, k chosen, q trained queries,
a asked queries, f found documents.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Int, Integer, Key

from mmjax.blocks.attention import prompt_pool
from mmjax.blocks.attention.pooling import masked_mean
from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses import ewc, incremental_classifier
from mmjax.encoders.text.bert import Bert
from mmjax.layers.attention import KeysValues
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.models.retrieval.prompt_dsi.stages import Span, Stage, Weights, join, split
from mmjax.objective import Aux, Objective

QUERIES = 128
"""Queries that are read at a time."""


class Read(NamedTuple):
    """What the encoder makes of queries."""

    features: Float[Array, "b w"]
    """What the classifier reads."""
    query: Float[Array, "b w"]
    """What prompts were chosen by."""
    chosen: prompt_pool.Chosen | None
    """None without a choice."""


class Found(NamedTuple):
    """Documents for each query, best first, and the prompts it got."""

    rows: Int[Array, "a f"]
    """-1 where there are fewer."""
    scores: Float[Array, "a f"]
    entries: Int[Array, "a k"]
    """-1 where nothing was chosen."""


class Task(NamedTuple):
    """Training queries with their documents' rows, and the queries that `predict` answers."""

    ids: Integer[np.ndarray, "q s"]
    """Tokens, padded."""
    row: Integer[np.ndarray, "q"]
    asked: Integer[np.ndarray, "a s"]


class Consolidation(NamedTuple):
    """Where parameters are held (`mmjax.blocks.losses.ewc`); trees like the stage's parameters."""

    anchor: Any
    fisher: Any


def read(
    config: PromptDSIConfig,
    encoder: Bert,
    weights: Weights,
    ids: Int[Array, "b s"],
    choice: Span = (0, 0),
    *,
    key: Key[Array, ""] | None = None,
) -> Read:
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
        prefixes = {
            n: KeysValues(*found) for n, found in zip(config.prompted, prompts, strict=True)
        }
    start = 0 if config.two_pass and pool is not None else config.query_layer
    before = x if start == 0 else first[-1]
    last: Any = run(before, mask, layers=(start, None), prefixes=prefixes, method="run")
    features = _pooled(config, last[-1], mask).astype(jnp.float32)
    return Read(l2_normalise(features) if config.normalise else features, query, chosen)


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
    official = config.official_layout
    return prompt_pool.gather(pool["prompts"], chosen.index, official=official), chosen


def _loss(
    config: PromptDSIConfig,
    encoder: Bert,
    stage: Stage,
    tables: tuple[Array, Array],
    held: Consolidation | None,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    ids, row = (x[batch["row"]] for x in tables)
    k_encoder, k_features = jax.random.split(key)
    draws = k_encoder if stage.encoder and config.encoder_dropout else None
    weights = join(stage, params, state["frozen"])
    found = read(config, encoder, weights, ids, stage.choice, key=draws)
    features = dropout(k_features, found.features, config.dropout)
    logits = features @ weights["rows"][slice(*stage.rows)].T
    losses = incremental_classifier.cross_entropy(logits, row - stage.rows[0])
    value = global_mean(losses, axis, where=batch["where"])
    metrics = {"cross_entropy": value}
    if found.chosen is not None and "keys" in stage.trained and config.pull:
        similarity = found.chosen.similarity
        pulls = prompt_pool.pull(similarity) / similarity.shape[1]
        metrics["pull"] = global_mean(pulls, axis, where=batch["where"])
        value = value + config.pull * metrics["pull"]
    if held is not None:
        metrics["ewc"] = ewc.penalty(params, held.anchor, held.fisher)
        value = value + config.ewc * metrics["ewc"]
    return value, Aux(state, metrics)


def search(
    config: PromptDSIConfig,
    encoder: Bert,
    stage: Stage,
    weights: Weights,
    asked: Int[Array, "a s"],
    *,
    k: int | None = None,
) -> Found:
    """The best of the rows in use for each query, one forward pass each; no task is named.

    Args:
        config, encoder, weights: as for `read`.
        stage: how many rows are in use, and which entries may be chosen.
        asked: tokens of the queries.
        k: documents of a query; None is `PromptDSIConfig.found`.
    """

    def step(ids: Array) -> Found:
        found = read(config, encoder, weights, ids, stage.known)
        entries = jnp.full((len(ids), 1), -1) if found.chosen is None else found.chosen.index
        best = incremental_classifier.top_rows(
            found.features, weights["rows"], stage.count, k=k or config.found
        )
        return Found(*best, entries)

    return map_batched(step, asked, size=QUERIES)


def _predict(
    config: PromptDSIConfig,
    encoder: Bert,
    stage: Stage,
    asked: Array,
    params: Any,
    state: Any,
    key: Array,
) -> Found:
    return search(config, encoder, stage, join(stage, params, state["frozen"]), asked)


def build(
    config: PromptDSIConfig,
    encoder: Bert,
    stage: Stage,
    weights: Weights,
    task: Task,
    *,
    held: Consolidation | None = None,
) -> Objective:
    """One stage; `predict` gives `Found` for the task's queries.

    Batches are those of `mmjax.training.sources.rows_source` over the training queries. Variables
    are ``{"params": ..., "frozen": ...}``, from which `join` makes the weights of the next stage.

    Args:
        config: hyper-parameters.
        encoder: the encoder.
        stage: what is trained.
        weights: where it starts, with room for the stage's rows.
        task: its queries.
        held: elastic weight consolidation, of weight `PromptDSIConfig.ewc`.

    Raises:
        ValueError: the table of rows is too short, a query's row does not compete, or a pool is
            missing.
    """
    room = weights["rows"].shape[0]
    first, last = stage.rows
    if stage.count > room or (stage.trained and "pool" not in weights):
        raise ValueError(
            f"PromptDSI: {stage.count} rows in a table of {room}, trained parts of the pool "
            f"{stage.trained}, pool {'pool' in weights}; make a longer table, or a pool"
        )
    if not len(task.row) or task.row.min() < first or task.row.max() >= last:
        raise ValueError(
            f"PromptDSI: {len(task.row)} queries; their rows must lie in [{first}, {last})"
        )
    tables = jnp.asarray(task.ids, jnp.int32), jnp.asarray(task.row, jnp.int32)
    asked = jnp.asarray(task.asked, jnp.int32)

    def init(weights: Weights, key: Array) -> Any:
        params, frozen = split(stage, weights)
        return {"params": params, "frozen": frozen}

    loss = functools.partial(_loss, config, encoder, stage)
    predict = functools.partial(_predict, config, encoder, stage)
    return Objective(Partial(init, weights), Partial(loss, tables, held), Partial(predict, asked))
