"""A small two-tower objective whose loss needs the whole batch, and data with a ragged tail."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mmjax.blocks.common.collectives import gather, global_sum
from mmjax.objective import Aux, Objective
from mmjax.training.sources.pairs import pairs_source

USERS, ITEMS, WIDTH = 13, 11, 4
PAIRS = np.stack(
    [np.random.default_rng(0).integers(0, n, 97) for n in (USERS, ITEMS)], axis=1
).astype(np.int32)


def source(batch_size=20, pairs=PAIRS):
    """97 pairs in batches of 20: the fifth one is ragged."""
    return pairs_source(pairs, ITEMS, batch_size, n_negatives=2)


def init(key):
    k_user, k_item = jax.random.split(key)
    return {
        "params": {
            "user": jax.random.normal(k_user, (USERS, WIDTH)),
            "tower": {"item": jax.random.normal(k_item, (ITEMS, WIDTH))},
        },
        "stats": {"mean": jnp.zeros(WIDTH), "steps": jnp.zeros((), jnp.int32)},
    }


def loss(scale, params, state, batch, key, axis=None):
    """In-batch InfoNCE over all real rows of the global batch, a BPR term and weight decay."""
    where = batch["where"]
    user, item = params["user"][batch["user"]], params["tower"]["item"][batch["item"]]
    logits = user @ gather(item, axis).T
    real = gather(where.astype(jnp.float32), axis) > 0
    logits = jnp.where(real[None, :], logits, -jnp.inf)
    first = 0 if axis is None else len(user) * jax.lax.axis_index(axis)
    own = jnp.take_along_axis(logits, (first + jnp.arange(len(user)))[:, None], 1)[:, 0]
    row = jax.nn.logsumexp(logits, 1) - jnp.where(where, own, 0)
    negative = jnp.einsum("bd,bkd->bk", user, params["tower"]["item"][batch["negatives"]])
    row = row - jax.nn.log_sigmoid(jnp.where(where, own, 0)[:, None] - negative).sum(1)
    count = global_sum(jnp.ones(len(user)), axis, where=where)
    decay = 0.01 * sum(jnp.sum(x * x) for x in jax.tree.leaves(params))
    noise = 0.1 * jax.random.normal(key, (USERS, WIDTH))
    value = scale * (global_sum(row, axis, where=where) / count + decay)
    value = value + (noise * params["user"]).sum()
    mean = jax.vmap(lambda x: global_sum(x, axis, where=where), 1)(user) / count
    stats = {
        "mean": 0.9 * state["stats"]["mean"] + 0.1 * mean,
        "steps": state["stats"]["steps"] + 1,
    }
    return value, Aux({"stats": stats}, {"rows": count})


def objective(scale=1.0):
    return Objective(Partial(init), Partial(loss, jnp.float32(scale)))


def evaluate(params, extra, key):
    """A number that depends on every parameter, on the collections and on the key."""
    score = params["user"] @ params["tower"]["item"].T
    own = score[PAIRS[:, 0], PAIRS[:, 1]].mean() + 0.01 * extra["stats"]["mean"].sum()
    return {"recall@20": float(own), "noise": float(jax.random.normal(key))}
