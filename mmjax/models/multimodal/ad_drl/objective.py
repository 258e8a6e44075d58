"""AD-DRL: attribute-driven disentangled representation learning for multimodal recommendation.

Z. Li, F. Liu, Y. Wei, Z. Cheng, L. Nie, M. Kankanhalli, ACM MM 2024, arXiv 2312.14433.

Axes: u users, i items, b rows, k negatives, t = 1 + k items of a row, m modalities with the id,
a factors, c features of a factor, d = a c, v values of an attribute.
"""

import functools
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Int

from mmjax.blocks.common.collectives import global_mean, global_sum
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses import disentangle
from mmjax.blocks.losses.disentangle import chunks
from mmjax.blocks.losses.pairwise import sq_loss
from mmjax.models.common.task import Task
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.objective import Aux, Objective

Features = Mapping[str, Float[Array, "i _"]]
Labels = Mapping[str, Int[Array, "i"]]


class Classifier(nn.Module):
    """LeakyReLU, dropout and a linear layer, as all classifiers of AD-DRL are."""

    classes: int
    slope: float
    rate: float

    @nn.compact
    def __call__(self, z: Float[Array, "*n c"], *, train: bool = False) -> Float[Array, "*n v"]:
        """Scores of the classes."""
        z = nn.leaky_relu(z, self.slope)
        if train:
            z = dropout(self.make_rng("dropout"), z, self.rate)
        return nn.Dense(self.classes, kernel_init=nn.initializers.xavier_uniform())(z)


class Items(NamedTuple):
    """Some items, factor by factor."""

    views: Float[Array, "*n a m c"]
    """Chunks of the id embedding (first) and of each projected modality."""
    weights: Float[Array, "*n a m"]
    """Share of each of them in the factor."""
    fused: Float[Array, "*n a c"]
    """The factors that users are compared with."""


class ADDRL(nn.Module):
    """Users, items and the classifiers that tell factors and attribute values apart.

    All biases start at zero, where the authors leave them as PyTorch draws them.

    Attributes:
        config: hyper-parameters.
        n_users, n_items: sizes of the embedding tables.
        modalities: names, in the order of `Items.views` after the id.
        classes: attribute -> number of its values, in the order of the factors.
    """

    config: ADDRLConfig
    n_users: int
    n_items: int
    modalities: tuple[str, ...]
    classes: tuple[tuple[str, int], ...]

    @property
    def factors(self) -> int:
        """Number of factors: one an attribute, and the rest."""
        return len(self.classes) + self.config.rest

    def setup(self) -> None:
        c, xavier = self.config, nn.initializers.xavier_uniform()
        width, m = self.factors * c.factor_width, 1 + len(self.modalities)
        zeros = nn.initializers.zeros
        self.users = self.param("user_embedding", xavier, (self.n_users, width))
        self.ids = self.param("item_embedding", xavier, (self.n_items, width))
        self.projections = {n: nn.Dense(width, kernel_init=xavier) for n in self.modalities}
        self.attention = (
            self.param("attention_in", xavier, (c.factor_width, m)),
            self.param("attention_in_bias", zeros, (m,)),
            self.param("attention_out", xavier, (m, m)),
            self.param("attention_out_bias", zeros, (m,)),
        )
        sources = ("user", "id", *self.modalities)
        self.which = {n: Classifier(self.factors, c.slope, c.dropout) for n in sources}
        self.values = {n: Classifier(v, c.slope, c.dropout) for n, v in self.classes}

    def user(self, ids: Int[Array, "b"]) -> Float[Array, "b a c"]:
        """Factors of users."""
        return chunks(self.users[ids], self.factors)

    def items(self, ids: Int[Array, "*n"], features: Features) -> Items:
        """Factors of items; `features` are those of all items."""
        content = [self.projections[n](features[n][ids]) for n in self.modalities]
        views = [chunks(x, self.factors) for x in (self.ids[ids], *content)]
        stacked = jnp.stack(views, -2)
        weights = disentangle.modality_weights(
            stacked, *self.attention, double_softmax=self.config.double_softmax
        )
        return Items(stacked, weights, disentangle.fuse(stacked, weights))

    def predicted(
        self, fused: Float[Array, "*n a c"], *, train: bool = False
    ) -> dict[str, Float[Array, "*n _"]]:
        """Scores of each attribute's values, read from its own factor."""
        return {
            name: self.values[name](fused[..., a, :], train=train)
            for a, (name, _) in enumerate(self.classes)
        }

    def __call__(
        self,
        users: Int[Array, "b"],
        items: Int[Array, "b t"],
        features: Features,
        labels: Labels,
        *,
        train: bool = False,
    ) -> dict[str, Float[Array, "b"]]:
        """Unweighted losses of each row; the first of its `items` is the positive.

        What an item loses by itself counts once for the positive and once for the mean of the
        negatives; what the user loses counts twice, as the authors pair them with both.
        """
        # An item's factors and its own losses do not depend on the row, so each item of a small
        # catalogue is computed once (and then shares its dropout among the rows it is in).
        ids, place = items.ravel(), jnp.arange(items.size).reshape(items.shape)
        if self.n_items <= items.size:
            ids, place = jnp.arange(self.n_items), items
        user, item = self.user(users), self.items(ids, features)
        scores = disentangle.factor_scores(user[:, None], item.fused[place]).sum(-1)
        of_user = disentangle.which_factor(self.which["user"](user, train=train))
        alone = {n: x[place] for n, x in self._alone(item, ids, labels, train).items()}
        both = {n: x[:, 0] + x[:, 1:].mean(1) for n, x in alone.items()}
        return {
            "rank": disentangle.hardest_bpr(scores[:, 0], scores[:, 1:]),
            "intra": both["intra"] + 2 * of_user,
            "inter": both["inter"],
            "values": both["values"],
            "reg": sq_loss(user) + alone["reg"].sum(1),
        }

    def _alone(
        self, item: Items, ids: Int[Array, "r"], labels: Labels, train: bool
    ) -> dict[str, Float[Array, "r"]]:
        """What each item loses by itself."""
        views = dict(zip(("id", *self.modalities), jnp.moveaxis(item.views, -2, 0), strict=True))
        none = jnp.zeros(len(ids))
        named = [disentangle.which_factor(self.which[n](x, train=train)) for n, x in views.items()]
        matched = [
            disentangle.inter_modality(x, y, temperature=self.config.temperature)
            for x, y in itertools.combinations(views.values(), 2)
        ]
        predicted = self.predicted(item.fused, train=train)
        told = [_cross_entropy(x, labels[n][ids]) for n, x in predicted.items()]
        return {
            "intra": sum(named, none),
            "inter": sum(matched, none),
            "values": sum(told, none),
            "reg": sq_loss(item.views),
        }


def _cross_entropy(logits: Array, labels: Array) -> Array:
    own = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    return jax.nn.logsumexp(logits, -1) - own


def _loss(
    model: ADDRL,
    features: Features,
    labels: Labels,
    params: Any,
    state: Any,
    batch: Mapping[str, Array],
    key: Array,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    items = jnp.concatenate([batch["item"][:, None], batch["negatives"]], 1)
    inputs = (batch["user"], items, features, labels)
    rows: Any = model.apply({"params": params}, *inputs, train=True, rngs={"dropout": key})
    c, where = model.config, batch["where"]
    terms = {n: global_mean(x, axis, where=where) for n, x in rows.items()}
    terms["rank"] = c.rank_rows * terms["rank"]
    if c.rank_rows == 0:
        terms["rank"] = global_sum(rows["rank"], axis, where=where)
    others = sum(getattr(c, n) * x for n, x in terms.items() if n != "rank")
    return terms["rank"] + others, Aux(state, terms)


def _init(model: ADDRL, features: Features, labels: Labels, key: Array) -> dict[str, Any]:
    one = jnp.zeros(1, jnp.int32)
    return dict(model.init(key, one, jnp.zeros((1, 2), jnp.int32), features, labels))


def _predict(
    model: ADDRL, features: Features, labels: Labels, params: Any, state: Any, key: Array
) -> tuple[Array, Array]:
    users, items = _factors(model, features, params)
    return users.reshape(len(users), -1), items.fused.reshape(len(items.fused), -1)


def _factors(model: ADDRL, features: Features, params: Any) -> tuple[Array, Items]:
    bound = model.bind({"params": params})
    items = bound.items(jnp.arange(model.n_items), features)
    return l2_normalise(bound.user(jnp.arange(model.n_users))), items


def steer(weights: Float[Array, "a"]) -> Partial:
    """``score(users, items)`` for `Objective.score`, in which factor a counts `weights[a]` times.

    Weights are at least 0; all ones is the trained model, zero takes a factor out.
    """
    return Partial(_steered, jnp.asarray(weights, jnp.float32))


def _steered(weights: Array, users: Array, items: Array) -> Array:
    return disentangle.score(users, items, weights, factors=weights.shape[0])


def _parts(config: ADDRLConfig, task: Task) -> tuple[ADDRL, Features, Labels]:
    features = task.content(config.modalities, unit=config.unit)
    names = config.attributes or tuple(task.labels)
    if missing := [n for n in names if n not in task.labels]:
        raise ValueError(f"attributes {missing} are not among the item labels {[*task.labels]}")
    if not names and config.rest < 1:
        raise ValueError("the data have no item labels, so set rest to the number of factors")
    labels = {n: np.asarray(task.labels[n], np.int32) for n in names}
    classes = tuple((n, int(x.max()) + 1) for n, x in labels.items())
    model = ADDRL(config, *task.sizes, tuple(features), classes)
    return model, features, {n: jnp.asarray(x) for n, x in labels.items()}


def build(config: ADDRLConfig, task: Task) -> Objective:
    """AD-DRL on the features and labels of a task.

    Raises:
        ValueError: a modality or an attribute is missing, or there would be no factor.
    """
    model, *bound = _parts(config, task)
    parts = (Partial(functools.partial(f, model), *bound) for f in (_init, _loss, _predict))
    return Objective(*parts, score=steer(jnp.ones(model.factors)))


class Explanation(NamedTuple):
    """What the scores are made of."""

    factors: tuple[str, ...]
    """Attributes, then "rest"."""
    modalities: tuple[str, ...]
    """Those of `Items`, the id first."""
    users: Float[Array, "u a c"]
    """Unit factors."""
    items: Items
    values: dict[str, Float[Array, "i _"]]
    """Probability of each value of each attribute, predicted from the item's factor."""


def explain(config: ADDRLConfig, task: Task, params: Any) -> Explanation:
    """Factors, modality weights and predicted attribute values under trained `params`.

    `disentangle.factor_scores` of a user's and an item's factors are the terms of their score.

    Raises:
        ValueError: see `build`.
    """
    model, features, _ = _parts(config, task)
    users, items = _factors(model, features, params)
    logits: Any = model.apply({"params": params}, items.fused, method=ADDRL.predicted)
    values = {n: jax.nn.softmax(x) for n, x in logits.items()}
    names = (*(n for n, _ in model.classes), *["rest"] * config.rest)
    return Explanation(names, ("id", *model.modalities), users, items, values)
