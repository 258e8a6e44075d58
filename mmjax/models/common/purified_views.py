"""Side views of items and users that content purifies, and their loss: MGCN and SMORE.

MGCN: arXiv 2308.03588; SMORE: arXiv 2412.14978.

Item ids gated by content travel over item graphs and on to the users; gates by behaviour then
weigh these side views, which join the id view of LightGCN.

Axes: u users, i items, n = u + i nodes (users first), d width, b rows, k negatives.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from mmjax.blocks.common.collectives import global_mean
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.graphs.sparse import Operator, spmm
from mmjax.blocks.losses.contrast import in_batch
from mmjax.blocks.losses.pairwise import info_bpr, sq_loss
from mmjax.layers.linear import Linear
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors


class GuidedGate(nn.Module):
    """``x * sigmoid(guide W + b)``: content purifies ids, behaviour weighs side views.

    Attributes:
        rate: dropout rate of the gate's values, in [0, 1).
    """

    rate: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "n d"], guide: Float[Array, "n _"], *, train: bool = False
    ) -> Float[Array, "n d"]:
        """Gate `x`; `train` draws from the "dropout" stream."""
        gate = nn.sigmoid(Linear(x.shape[1], name="linear")(guide))
        if train and self.rate > 0:
            gate = dropout(self.make_rng("dropout"), gate, self.rate)
        return x * gate


class PurifiedViews(nn.Module):
    """One view per item graph: ``p = S^L (ids * gate(content))`` for items, ``R p`` for users.

    Attributes:
        hops: steps L over the item graph.
    """

    hops: int = 1

    @nn.compact
    def __call__(
        self,
        initial: Float[Array, "n d"],
        content: Mapping[str, Float[Array, "i d"]],
        graphs: Mapping[str, Operator],
        to_users: Operator,
    ) -> dict[str, Float[Array, "n d"]]:
        """Views by the names of `content`, which `graphs` has too.

        Args:
            initial: id embeddings of all nodes.
            content: what gates the items' ids in each view.
            graphs: item graph S of each view.
            to_users: the half R of the normalised user-item graph in which users read items.
        """
        views = {}
        for name, guide in content.items():
            users, ids = jnp.split(initial, [initial.shape[0] - guide.shape[0]])
            items = GuidedGate(name=f"purifier_{name}")(ids, guide)
            for _ in range(self.hops):
                items = spmm(graphs[name], items)
            all_nodes = jnp.concatenate([jnp.zeros_like(users), items])
            views[name] = all_nodes + spmm(to_users, all_nodes)
        return views


class BehaviourAndSide(NamedTuple):
    """The two halves of the final vectors."""

    behaviour: Float[Array, "n d"]
    """Id view: LightGCN."""
    side: Float[Array, "n d"]
    """Fused side views."""

    @property
    def final(self) -> Float[Array, "n d"]:
        """Their sum; scores are its inner products."""
        return self.behaviour + self.side


def loss_terms(
    nodes: BehaviourAndSide,
    n_users: int,
    rows: Mapping[str, Array],
    axis: str | None = None,
    *,
    l2: float = 1e-4,
    contrast: float = 0.01,
    temperature: float = 0.2,
) -> dict[str, Float[Array, ""]]:
    """The weighted terms of both methods over the rows of a batch.

    Returns:
        ``rank``: mean InfoBPR of the final vectors, BPR with one negative; ``norms``: `l2` times
        the mean `sq_loss` of the rows' final vectors; ``contrast``: `contrast` times the InfoNCE
        of side against behaviour over the batch's items plus that over its users.
    """
    user, item, negatives = rows["user"], n_users + rows["item"], n_users + rows["negatives"]
    where, final = rows["where"], nodes.final
    u, i, j = final[user], final[item], final[negatives]
    rank = info_bpr((u * i).sum(-1), jnp.einsum("bd,bkd->bk", u, j))
    terms = {
        "rank": global_mean(rank, axis, where=where),
        "norms": l2 * global_mean(sq_loss(u, i, j), axis, where=where),
    }
    if contrast > 0:
        views = [
            in_batch(
                nodes.side[ids],
                nodes.behaviour[ids],
                temperature=temperature,
                where=where,
                axis=axis,
            )
            for ids in (item, user)
        ]
        terms["contrast"] = contrast * (views[0] + views[1])
    return terms


class ViewInputs(NamedTuple):
    """Arrays that both methods read."""

    features: dict[str, Array]
    """Raw item features by modality."""
    graphs: dict[str, Operator]
    """Item graphs by view."""
    adjacency: Operator
    """The user-item graph, symmetric normalised."""
    to_users: Operator
    """Its half in which users read items."""


def _init(model: Any, inputs: ViewInputs, key: Array) -> Variables:
    return dict(model.init(key, inputs))


def _loss(
    model: Any,
    inputs: ViewInputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    nodes = model.apply({"params": params}, inputs, train=True, rngs={"dropout": key})
    c = model.config
    weights = {name: getattr(c, name) for name in ("l2", "contrast", "temperature")}
    terms = loss_terms(nodes, model.n_users, batch, axis, **weights)
    return sum(terms.values(), jnp.zeros(())), Aux(state, terms)


def _vectors(
    model: Any, inputs: ViewInputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    users, items = jnp.split(model.apply({"params": params}, inputs).final, [model.n_users])
    return users, items


def build_model(network: nn.Module, inputs: ViewInputs, n_items: int) -> Model:
    """A network of behaviour and side views with its loss, retrieving by inner products.

    Args:
        network: ``network(inputs, train=) -> BehaviourAndSide``, with `n_users` and a `config`
            that has `l2`, `contrast` and `temperature`.
        inputs: bound to it.
        n_items: items.
    """
    return Model(
        Objective.bind(network, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, network, inputs, n_items),
    )
