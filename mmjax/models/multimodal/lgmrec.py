"""LGMRec: local graphs of ids and of content, and global hyperedges that content assigns.

Z. Guo, J. Li, G. Li, C. Wang, S. Shi, B. Ruan, AAAI 2024, arXiv 2312.16400; as MMRec trains it.

Axes: u users, i items, n = u + i nodes (users first), d width, h hyperedges, b rows.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.graph import lightgcn
from mmjax.blocks.graphs.hypergraph import gumbel_softmax, hyper_propagate
from mmjax.blocks.graphs.sparse import Operator, spmm
from mmjax.blocks.losses.contrast import between_tables
from mmjax.models.collaborative.light_gcn import Embeddings, bpr_with_norms
from mmjax.models.common.task import Task
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


@dataclass(frozen=True)
class LGMRecConfig:
    """Hyper-parameters of LGMRec, with the authors' choice for Baby."""

    modalities: tuple[str, ...] = ()
    """Content modalities; the InfoNCE compares a user or item of the earlier one with all of the
    later. None named means all by the alphabet, which for image and text is the authors' order."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""
    width: int = 64
    """Dimension d of user and item vectors."""
    hops: int = 2
    """Propagation steps of the ids over the user-item graph."""
    content_hops: int = 2
    """Propagation steps of the content; the last one is the output."""
    hyper_hops: int = 1
    """Passes through the hyperedges, at least 1."""
    hyperedges: int = 4
    """Hyperedges h of each modality."""
    dropout: float = 0.5
    """Dropout of the memberships in hyperedges."""
    temperature: float = 0.2
    """Temperature of the memberships and of the InfoNCE between modalities."""
    alpha: float = 0.3
    """Weight of the global vectors."""
    contrast: float = 1e-4
    """Weight of the InfoNCE between the modalities' global vectors, summed over the rows."""
    l2: float = 1e-6
    """Weight of the norms of the batch's final vectors."""
    eval_noise: bool = True
    """Draw memberships at evaluation too, as the authors do; False takes their softmax."""


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: dict[str, Array]
    adjacency: Operator
    mean: Operator
    counts: Float[Array, "n 1"]


class LGMRec(nn.Module):
    """Final vectors of all nodes, and their global vectors by modality."""

    config: LGMRecConfig
    n_users: int
    n_items: int
    modalities: tuple[str, ...]

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Float[Array, "i _"]],
        adjacency: Operator,
        mean: Operator,
        counts: Float[Array, "n 1"],
        *,
        train: bool = False,
        noise: bool = True,
    ) -> tuple[Float[Array, "n d"], dict[str, Float[Array, "n d"]]]:
        """One forward pass; over `adjacency`, and `mean`, in which users read their items' mean.

        `counts` is the number of each user's items, one for items; `train` drops memberships
        (stream "dropout"), `noise` draws them (stream "gumbel").
        """
        c, init, n_users = self.config, nn.initializers.xavier_uniform(), self.n_users
        ids = Embeddings(n_users, self.n_items, c.width, name="ids")()
        local = ids = lightgcn(adjacency, ids, layers=c.hops)
        hyper = {}
        for name in self.modalities:
            x = features[name]
            linear = self.param(f"linear_{name}", init, (x.shape[1], c.width))
            assign = self.param(f"assign_{name}", init, (x.shape[1], c.hyperedges))
            items = jnp.pad(x @ jnp.concatenate([linear, assign], axis=1), ((n_users, 0), (0, 0)))
            z, logits = jnp.split(items + spmm(mean, items), [c.width], axis=1)
            for _ in range(c.content_hops):
                z = spmm(adjacency, z)
            local = local + l2_normalise(z)
            # A user's memberships follow the sum over items, where vectors follow the mean.
            key = self.make_rng("gumbel") if noise else None
            member = gumbel_softmax(key, logits * counts, temperature=c.temperature)
            if train:
                member = dropout(self.make_rng("dropout"), member, c.dropout)
            users, items = jnp.split(member, [n_users])
            passed = hyper_propagate(users, items, ids[n_users:], layers=c.hyper_hops)
            hyper[name] = jnp.concatenate(passed)
        return local + c.alpha * l2_normalise(sum(hyper.values(), jnp.zeros_like(ids))), hyper


def _init(model: LGMRec, inputs: _Inputs, key: Array) -> Variables:
    return dict(model.init(key, *inputs, noise=False))


def _loss(
    model: LGMRec,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    c, n_users, where = model.config, model.n_users, batch["where"]
    streams: Any = dict(zip(("dropout", "gumbel"), jax.random.split(key), strict=True))
    both: Any = model.apply({"params": params}, *inputs, train=True, rngs=streams)
    final, hyper = both
    rank, norms = bpr_with_norms(final, final, n_users, batch, axis)
    contrast = functools.partial(between_tables, temperature=c.temperature, where=where, axis=axis)
    users = contrast([x[:n_users] for x in hyper.values()], batch["user"])
    items = contrast([x[n_users:] for x in hyper.values()], batch["item"])
    terms = {"rank": rank, "norms": c.l2 * norms, "contrast": c.contrast * (users + items)}
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms)


def _vectors(
    model: LGMRec, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    options = {"noise": model.config.eval_noise, "rngs": {"gumbel": key}}
    both: Any = model.apply({"params": params}, *inputs, **options)
    users, items = jnp.split(both[0], [model.n_users])
    return users, items


def build(config: LGMRecConfig, task: Task) -> Model:
    """LGMRec on the graph and the features of a task.

    Raises:
        ValueError: a modality is missing.
    """
    names = config.modalities or tuple(sorted(task.features))
    model = LGMRec(config, *task.sizes, names)
    counts = np.ones((task.n_nodes, 1), np.float32)
    counts[: task.n_users, 0] = np.bincount(task.train[:, 0], minlength=task.n_users)
    features = task.content(names, normalise=config.normalise)
    graphs = (task.adjacency(), task.one_way("users", kind="left"))
    inputs = _Inputs(features, *graphs, jnp.asarray(counts))
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items),
    )
