"""SASRec: self-attentive sequential recommendation.

W.-C. Kang, J. McAuley, ICDM 2018, arXiv 1808.09781.

Differences from the released code: residual connections go around the normalised input's
attention in the usual pre-norm form (the code adds the normalised queries instead), and positions
count from the latest item backwards, which is what padding on the left amounts to, so that a row
may hold the sequences of several users (`mmjax.blocks.sequences.packing`).

Axes: u users, i items, d width, b rows, t places of a row, k negatives, s steps.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from mmjax.blocks.common.collectives import global_mean, own_key
from mmjax.blocks.losses.pairwise import info_nce
from mmjax.blocks.losses.pointwise import weighted_bce
from mmjax.blocks.sequences.packing import Packed, Tokens, tokens
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.sequential.sasrec.config import SASRecConfig
from mmjax.models.sequential.sasrec.network import SASRec
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

_ROWS = 128
"""Rows of histories that are encoded at a time."""


def _init(model: SASRec, inputs: None, key: Array) -> Variables:
    return dict(model.init(key, Tokens(*(jnp.zeros((1, 1), jnp.int32) for _ in Tokens._fields))))


def _loss(
    model: SASRec,
    inputs: None,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    rows = Tokens(*(batch[name] for name in Tokens._fields))
    rngs = {"dropout": own_key(key, axis)}
    x: Any = model.apply({"params": params}, rows, train=True, rngs=rngs)
    x, following = x.reshape(-1, x.shape[-1]), rows.following.reshape(-1)
    items = params["item_embedding"]
    if model.config.loss == "softmax":
        losses = info_nce(x, items, temperature=1.0, positive=following, cosine=False)
    else:
        candidates = jnp.concatenate([rows.following[..., None], batch["negatives"]], axis=-1)
        candidates = candidates.reshape(len(x), -1)
        scores = jnp.einsum("nd,nkd->nk", x, items[candidates])
        losses = weighted_bce(scores, jnp.ones_like(scores))
    where = ((rows.window >= 0) & batch["where"][:, None]).reshape(-1)
    return global_mean(losses, axis, where=where), Aux(state, {})


def _vectors(
    model: SASRec, histories: Packed, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    n_users, width = histories.start.shape[0], model.config.width
    n = histories.window.shape[0]
    size = min(n, _ROWS)
    # Rows that fill up the last step repeat earlier ones, whose users then get the same again.
    steps = jnp.resize(jnp.arange(n), (-(-n // size), size))

    def step(users: Array, index: Array) -> tuple[Array, None]:
        rows = tokens(histories, index)
        x: Any = model.apply({"params": params}, rows)
        latest = (rows.window >= 0) & (rows.age == 0)
        user = jnp.where(latest, rows.window, n_users).reshape(-1)
        return users.at[user].set(x.reshape(-1, width), mode="drop"), None

    users, _ = lax.scan(step, jnp.zeros((n_users, width)), steps)
    return users, params["item_embedding"]


def build(config: SASRecConfig, task: SequenceTask) -> Model:
    """SASRec for the items of a task, retrieving what comes after the task's histories.

    Batches are those of `mmjax.training.sources.packed_source`, for `loss` "bce" with
    negatives. Queries are users by number; one without a history has a zero vector.

    Raises:
        ValueError: `loss` is unknown, or no user has a history.
    """
    if config.loss not in ("bce", "softmax"):
        raise ValueError(f"SASRec: loss {config.loss!r}; choose 'bce' or 'softmax'")
    model = SASRec(config, task.n_items)
    return Model(
        Objective.bind(model, None, init=_init, loss=_loss),
        by_vectors(_vectors, model, task.histories(config.length), task.n_items),
    )
