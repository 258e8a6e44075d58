"""PromptDSI, inference: the documents whose rows are nearest to a query, one forward pass each.

Axes: b queries, s tokens, k documents of a result, or chosen entries of the pool.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from mmjax.blocks.losses import incremental_classifier
from mmjax.blocks.ranking.topk import top_k
from mmjax.encoders.text.bert import Bert
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
from mmjax.models.retrieval.prompt_dsi.network import encode
from mmjax.models.retrieval.prompt_dsi.stages import CorpusStage, Weights, join
from mmjax.objective import Variables
from mmjax.retriever import Exclusion, Retriever, TopK

CHUNK = 128
"""Queries that are read at a time."""


class Learner(NamedTuple):
    """Everything static about a stage."""

    config: PromptDSIConfig
    encoder: Bert
    stage: CorpusStage


def row_retriever(model: Learner) -> Retriever:
    """The best of the rows in use for tokens of queries; no corpus is named.

    Variables are those of `prompt_dsi.build`, whose index are the `Weights` of the next stage.
    """
    return Retriever.bind(
        model,
        None,
        index=_index,
        retrieve=_retrieve,
        n_candidates=model.stage.count,
        chunk=CHUNK,
    )


def weights_retriever(model: Learner) -> Retriever:
    """`row_retriever` whose variables are the `Weights` themselves, such as solved rows."""
    return Retriever.bind(
        model,
        None,
        index=_themselves,
        retrieve=_retrieve,
        n_candidates=model.stage.count,
        chunk=CHUNK,
    )


def chosen_entries(
    model: Learner, weights: Weights, queries: Int[Array, "b s"]
) -> Int[Array, "b k"]:
    """Entries of the pool that queries get; -1 where nothing is chosen."""
    chosen = encode(model.config, model.encoder, weights, queries, model.stage.known).chosen
    return jnp.full((len(queries), 1), -1) if chosen is None else chosen.index


def _index(model: Learner, inputs: None, variables: Variables, key: Array) -> Weights:
    return join(model.stage, variables["params"], variables["frozen"])


def _themselves(model: Learner, inputs: None, variables: Weights, key: Array) -> Weights:
    return variables


def _retrieve(
    model: Learner,
    inputs: None,
    weights: Weights,
    queries: Int[Array, "b s"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    config, encoder, stage = model
    features = encode(config, encoder, weights, queries, stage.known).features
    most = 0 if exclude is None else exclude.most
    rows, scores = incremental_classifier.top_rows(
        features, weights["rows"], stage.count, k=k + most
    )
    if exclude is None or not most:
        return TopK(rows, scores)
    # Of k more than may be excluded, k are left.
    excluded = (rows[:, :, None] == exclude.table(len(queries))[:, None]).any(-1)
    scores, place = top_k(jnp.where(excluded, -jnp.inf, scores), k)
    rows = jnp.take_along_axis(rows, jnp.maximum(place, 0), 1)
    return TopK(jnp.where(place < 0, -1, rows), scores)
