"""PromptDSI: documents as rows of a growing classifier over a frozen encoder with prompts.

T.-L. Huynh et al., ECML PKDD 2025, arXiv 2406.12593. The first corpus trains encoder and rows
without prompts. Each later one trains its own rows and the prompts; what is not trained stands in
the collection "frozen" and gets neither gradient nor update nor decay.

Differences from the released code: keys and values are gathered, not reshaped (switch
`official`); the softmax is over the current corpus's rows alone, which is what masking the
others amounts to; entries of corpora to come are never chosen.

Axes: s tokens, n rows, q trained queries.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Int

from mmjax.blocks.attention import prompt_pool
from mmjax.blocks.common.collectives import global_mean, own_key
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.losses import ewc, incremental_classifier
from mmjax.encoders.text.bert import Bert
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.models.retrieval.prompt_dsi.network import encode
from mmjax.models.retrieval.prompt_dsi.search import Learner, row_retriever
from mmjax.models.retrieval.prompt_dsi.stages import CorpusStage, Weights, join, split
from mmjax.objective import Aux, Bound, Objective, Params, State, Variables
from mmjax.retriever import Model


class Consolidation(NamedTuple):
    """Anchor of elastic weight consolidation (`mmjax.blocks.losses.ewc`); trees like the
    parameters of the stage."""

    anchor: Any
    fisher: Any


class _Inputs(NamedTuple):
    queries: Int[Array, "q s"]
    document: Int[Array, "q"]
    anchor: Consolidation | None


def _init(model: Learner, weights: Weights, key: Array) -> Variables:
    params, frozen = split(model.stage, weights)
    return {"params": params, "frozen": frozen}


def _loss(
    model: Learner,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    config, encoder, stage = model
    ids, row = inputs.queries[batch["row"]], inputs.document[batch["row"]]
    k_encoder, k_features = jax.random.split(own_key(key, axis))
    draws = k_encoder if stage.encoder and config.encoder_dropout else None
    weights = join(stage, params, state["frozen"])
    encoded = encode(config, encoder, weights, ids, stage.choice, key=draws)
    features = dropout(k_features, encoded.features, config.dropout)
    logits = features @ weights["rows"][slice(*stage.rows)].T
    losses = incremental_classifier.cross_entropy(logits, row - stage.rows[0])
    value = global_mean(losses, axis, where=batch["where"])
    metrics = {"cross_entropy": value}
    if encoded.chosen is not None and "keys" in stage.trained and config.pull:
        similarity = encoded.chosen.similarity
        pulls = prompt_pool.pull(similarity) / similarity.shape[1]
        metrics["pull"] = global_mean(pulls, axis, where=batch["where"])
        value = value + config.pull * metrics["pull"]
    if inputs.anchor is not None:
        metrics["ewc"] = ewc.penalty(params, *inputs.anchor)
        value = value + config.ewc * metrics["ewc"]
    return value, Aux(state, metrics)


def build(
    config: PromptDSIConfig,
    encoder: Bert,
    stage: CorpusStage,
    weights: Weights,
    task: QueryTask,
    *,
    anchor: Consolidation | None = None,
) -> Model:
    """One stage, retrieving among all documents so far for tokens of queries.

    Batches are those of `mmjax.training.sources.rows_source` over the training queries. Variables
    are ``{"params": ..., "frozen": ...}``, from which `join` makes the weights of the next stage.

    Args:
        config: hyper-parameters.
        encoder: the encoder.
        stage: what is trained.
        weights: where it starts, with room for the stage's rows.
        task: training queries with the rows of their documents.
        anchor: elastic weight consolidation, of weight `PromptDSIConfig.ewc`.

    Raises:
        ValueError: the table of rows is too short, a query's row does not compete, or a pool is
            missing.
    """
    room, rows = weights["rows"].shape[0], task.candidate
    first, last = stage.rows
    if stage.count > room or (stage.trained and "pool" not in weights):
        raise ValueError(
            f"PromptDSI: {stage.count} rows in a table of {room}, trained parts of the pool "
            f"{stage.trained}, pool {'pool' in weights}; make a longer table, or a pool"
        )
    if not len(rows) or rows.min() < first or rows.max() >= last:
        raise ValueError(
            f"PromptDSI: {len(rows)} queries; their rows must lie in [{first}, {last})"
        )
    model = Learner(config, encoder, stage)
    tables = jnp.asarray(task.queries, jnp.int32), jnp.asarray(rows, jnp.int32)
    return Model(
        Objective(
            Partial(Bound(_init, model), weights),
            Partial(Bound(_loss, model), _Inputs(*tables, anchor)),
        ),
        row_retriever(model),
    )


def importance(
    config: PromptDSIConfig,
    encoder: Bert,
    weights: Weights,
    examples: QueryTask,
    *,
    count: int,
    room: int,
    earlier: Any = None,
) -> Any:
    """Diagonal Fisher information of encoder and rows, for elastic weight consolidation.

    Args:
        config: hyper-parameters.
        encoder: the encoder.
        weights: where it is taken.
        examples: queries of the latest corpus with the rows of their documents.
        count: rows in use, which compete.
        room: rows that the next stage trains, `count` or more; the information of new ones is 0.
        earlier: that of the corpora before, which is added.

    Returns:
        A tree like ``{"encoder": weights["encoder"], "rows": weights["rows"][:room]}``.
    """
    params = {"encoder": weights["encoder"], "rows": weights["rows"][:room]}

    def loss(params: Params, example: tuple[Array, Array]) -> Array:
        ids, row = example
        encoded = encode(config, encoder, params, ids[None])
        logits = encoded.features @ params["rows"].T
        competing = incremental_classifier.between(room, 0, count)
        return incremental_classifier.cross_entropy(logits, row[None], competing)[0]

    rows = jnp.asarray(examples.queries), jnp.asarray(examples.candidate)
    found = jax.jit(functools.partial(ewc.diagonal_fisher, loss, at_once=8))(params, rows)
    if earlier is None:
        return found
    missing = room - earlier["rows"].shape[0]
    padded = earlier | {"rows": jnp.pad(earlier["rows"], ((0, missing), (0, 0)))}
    return ewc.accumulate(found, padded)
