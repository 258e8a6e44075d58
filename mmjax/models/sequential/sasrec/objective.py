"""SASRec: self-attentive sequential recommendation.

W.-C. Kang, J. McAuley, ICDM 2018, arXiv 1808.09781.

Differences from the released code: residual connections go around the normalised input's
attention in the usual pre-norm form (the code adds the normalised queries instead), and positions
count from the latest item backwards, which is what padding on the left amounts to, so that a row
may hold the sequences of several users (`mmjax.blocks.sequences.packing`).

Axes: u users, i items, d width, b rows, t places of a row, k negatives, s steps.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.losses.pairwise import info_nce
from mmjax.blocks.losses.pointwise import weighted_bce
from mmjax.blocks.sequences.packing import Packed, Tokens, own_past, tokens
from mmjax.layers.dropout import module_dropout
from mmjax.layers.norms import norm
from mmjax.layers.transformer import Block, BlockConfig
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.sequential.sasrec.config import SASRecConfig
from mmjax.objective import Aux, Objective

_ROWS = 128
"""Rows of histories that `predict` encodes at a time."""
_EPS = 1e-8


class SASRec(nn.Module):
    """Item vectors, and what each place of a sequence expects next."""

    config: SASRecConfig
    n_items: int

    def setup(self) -> None:
        c, init = self.config, nn.initializers.xavier_uniform()
        self.item_embedding = self.param("item_embedding", init, (self.n_items, c.width))
        self.age_embedding = self.param("age_embedding", init, (c.length, c.width))
        block = BlockConfig(
            width=c.width,
            heads=c.heads,
            hidden=c.hidden,
            activation="relu",
            eps=_EPS,
            dropout=c.dropout,
            attention_dropout=c.dropout,
            hidden_dropout=c.dropout,
            kernel_init=init,
        )
        self.layer = [Block(block) for _ in range(c.layers)]
        self.final_norm = norm("layer", _EPS)

    def __call__(self, rows: Tokens, *, train: bool = False) -> Float[Array, "b t d"]:
        """``LN(blocks(sqrt(d) E_item + P_age))``; a place sees its own window's places up to it.

        Places without an item get finite vectors that mean nothing.
        """
        c = self.config
        x = self.item_embedding[rows.item] * c.width**0.5 + self.age_embedding[rows.age]
        x = module_dropout(self, x, c.dropout, train)
        where = own_past(rows.window)
        for block in self.layer:
            x = block(x, where=where, train=train)
        return self.final_norm(x)


def _loss(
    model: SASRec,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    rows = Tokens(*(batch[name] for name in Tokens._fields))
    x: Any = model.apply({"params": params}, rows, train=True, rngs={"dropout": key})
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


def _predict(
    model: SASRec, n_users: int, histories: Packed, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    n, width = histories.window.shape[0], model.config.width
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


def build(config: SASRecConfig, task: SequenceTask) -> Objective:
    """SASRec for the items of a task; `predict` gives the vectors of the task's users.

    Batches are those of `mmjax.training.sources.packed_source`, for `loss` "bce" with
    negatives. A user without a history has a zero vector.

    Raises:
        ValueError: `loss` is unknown, or no user has a history.
    """
    if config.loss not in ("bce", "softmax"):
        raise ValueError(f"SASRec: loss {config.loss!r}; choose 'bce' or 'softmax'")
    model = SASRec(config, task.n_items)
    histories = task.histories(config.length)
    start = Tokens(*(jnp.zeros((1, 1), jnp.int32) for _ in Tokens._fields))
    return Objective(
        Partial(lambda key: dict(model.init(key, start))),
        Partial(functools.partial(_loss, model)),
        Partial(functools.partial(_predict, model, task.n_users), histories),
    )
