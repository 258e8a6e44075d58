"""What MGCN (arXiv 2308.03588) and SMORE (arXiv 2412.14978) share.

Item ids gated by content travel over item graphs and on to the users; gates by behaviour then
weigh these side views, which join the id view of LightGCN.

Axes: u users, i items, n = u + i nodes (users first), d width, b rows, k negatives.
"""

from collections.abc import Mapping
from typing import NamedTuple

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


class Gate(nn.Module):
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
        layers: steps L over the item graph.
    """

    layers: int = 1

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
            items = Gate(name=f"purifier_{name}")(ids, guide)
            for _ in range(self.layers):
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
    reg: float = 1e-4,
    contrast: float = 0.01,
    temperature: float = 0.2,
) -> dict[str, Float[Array, ""]]:
    """The weighted terms of both methods; `rows` and `axis` as in `mig_gt.loss_terms`.

    Returns:
        ``rank``: mean InfoBPR of the final vectors, BPR with one negative; ``norms``: `reg` times
        the mean `sq_loss` of the rows' final vectors; ``contrast``: `contrast` times the InfoNCE
        of side against behaviour over the batch's items plus that over its users.
    """
    user, item, negatives = rows["user"], n_users + rows["item"], n_users + rows["negatives"]
    where, final = rows["where"], nodes.final
    u, i, j = final[user], final[item], final[negatives]
    rank = info_bpr((u * i).sum(-1), jnp.einsum("bd,bkd->bk", u, j))
    terms = {
        "rank": global_mean(rank, axis, where=where),
        "norms": reg * global_mean(sq_loss(u, i, j), axis, where=where),
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
