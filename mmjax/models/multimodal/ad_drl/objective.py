"""AD-DRL: attribute-driven disentangled representation learning for multimodal recommendation.

Z. Li, F. Liu, Y. Wei, Z. Cheng, L. Nie, M. Kankanhalli, ACM MM 2024, arXiv 2312.14433.

Axes: u users, i items, b rows, k negatives, t = 1 + k items of a row, m modalities with the id,
a factors, c features of a factor, d = a c, v values of an attribute.
"""

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

from mmjax.blocks.common.collectives import global_mean, global_sum, own_key
from mmjax.blocks.common.hash_dropout import dropout
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses import disentangle
from mmjax.blocks.losses.disentangle import chunks
from mmjax.blocks.losses.pairwise import sq_loss
from mmjax.models.common.task import Task
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Model, by_vectors

_Features = Mapping[str, Float[Array, "i _"]]
_Labels = Mapping[str, Int[Array, "i"]]


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


class ItemFactors(NamedTuple):
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
        modalities: names, in the order of `ItemFactors.views` after the id.
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

    def items(self, ids: Int[Array, "*n"], features: _Features) -> ItemFactors:
        """Factors of items; `features` are those of all items."""
        content = [self.projections[n](features[n][ids]) for n in self.modalities]
        views = [chunks(x, self.factors) for x in (self.ids[ids], *content)]
        stacked = jnp.stack(views, -2)
        weights = disentangle.modality_weights(
            stacked, *self.attention, double_softmax=self.config.official
        )
        return ItemFactors(stacked, weights, disentangle.fuse(stacked, weights))

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
        features: _Features,
        labels: _Labels,
        *,
        train: bool = False,
    ) -> dict[str, Float[Array, "b"]]:
        """Unweighted losses of each row; the first of its `items` is the positive.

        The losses of an item by itself count once for the positive and once for the mean of the
        negatives; those of the user count twice, as the authors pair them with both.
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
            "l2": sq_loss(user) + alone["l2"].sum(1),
        }

    def _alone(
        self, item: ItemFactors, ids: Int[Array, "r"], labels: _Labels, train: bool
    ) -> dict[str, Float[Array, "r"]]:
        """Losses of each item by itself."""
        views = dict(zip(("id", *self.modalities), jnp.moveaxis(item.views, -2, 0), strict=True))
        none = jnp.zeros(len(ids))
        named = [disentangle.which_factor(self.which[n](x, train=train)) for n, x in views.items()]
        matched = [
            disentangle.inter_modality(x, y, temperature=self.config.temperature)
            for x, y in itertools.combinations(views.values(), 2)
        ]
        predicted = self.predicted(item.fused, train=train)
        named_values = [_cross_entropy(x, labels[n][ids]) for n, x in predicted.items()]
        return {
            "intra": sum(named, none),
            "inter": sum(matched, none),
            "values": sum(named_values, none),
            "l2": sq_loss(item.views),
        }


class _Inputs(NamedTuple):
    """Arrays that the model reads."""

    features: _Features
    labels: _Labels


def _cross_entropy(logits: Array, labels: Array) -> Array:
    own = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    return jax.nn.logsumexp(logits, -1) - own


def _init(model: ADDRL, inputs: _Inputs, key: Array) -> Variables:
    one = jnp.zeros(1, jnp.int32)
    return dict(model.init(key, one, jnp.zeros((1, 2), jnp.int32), *inputs))


def _loss(
    model: ADDRL,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    items = jnp.concatenate([batch["item"][:, None], batch["negatives"]], 1)
    read = (batch["user"], items, *inputs)
    rngs = {"dropout": own_key(key, axis)}
    rows: Any = model.apply({"params": params}, *read, train=True, rngs=rngs)
    c, where = model.config, batch["where"]
    terms = {n: global_mean(x, axis, where=where) for n, x in rows.items()}
    terms["rank"] = c.rank_rows * terms["rank"]
    if c.rank_rows == 0:
        terms["rank"] = global_sum(rows["rank"], axis, where=where)
    others = sum(getattr(c, n) * x for n, x in terms.items() if n != "rank")
    return terms["rank"] + others, Aux(state, terms)


def _vectors(
    model: ADDRL, inputs: _Inputs, params: Params, state: State, key: Array
) -> tuple[Array, Array]:
    users, items = _factors(model, inputs.features, params)
    return users.reshape(len(users), -1), items.fused.reshape(len(items.fused), -1)


def _factors(model: ADDRL, features: _Features, params: Params) -> tuple[Array, ItemFactors]:
    bound = model.bind({"params": params})
    items = bound.items(jnp.arange(model.n_items), features)
    return l2_normalise(bound.user(jnp.arange(model.n_users))), items


def steer(weights: Float[Array, "a"]) -> Partial:
    """``score(users, items)`` of two tables of vectors in which factor a counts `weights[a]` times.

    For `by_vectors` and `given_vectors`.

    Weights are at least 0; all ones is the trained model, zero takes a factor out.
    """
    return Partial(_steered, jnp.asarray(weights, jnp.float32))


def _steered(weights: Array, users: Array, items: Array) -> Array:
    return disentangle.score(users, items, weights, factors=weights.shape[0])


def _network(config: ADDRLConfig, task: Task) -> tuple[ADDRL, _Inputs]:
    features = task.content(config.modalities, normalise=config.normalise)
    names = config.attributes or tuple(task.labels)
    if missing := [n for n in names if n not in task.labels]:
        raise ValueError(f"attributes {missing} are not among the item labels {[*task.labels]}")
    if not names and config.rest < 1:
        raise ValueError("the data have no item labels, so set rest to the number of factors")
    labels = {n: np.asarray(task.labels[n], np.int32) for n in names}
    classes = tuple((n, int(x.max()) + 1) for n, x in labels.items())
    model = ADDRL(config, *task.sizes, tuple(features), classes)
    return model, _Inputs(features, {n: jnp.asarray(x) for n, x in labels.items()})


def build(config: ADDRLConfig, task: Task) -> Model:
    """AD-DRL on the features and labels of a task, retrieving by the sum of the factors' scores.

    Raises:
        ValueError: a modality or an attribute is missing, or there would be no factor.
    """
    model, inputs = _network(config, task)
    score = steer(jnp.ones(model.factors))
    return Model(
        Objective.bind(model, inputs, init=_init, loss=_loss),
        by_vectors(_vectors, model, inputs, task.n_items, score=score),
    )


class Explanation(NamedTuple):
    """Parts of the scores of a trained model."""

    factors: tuple[str, ...]
    """Attributes, then "rest"."""
    modalities: tuple[str, ...]
    """Those of `ItemFactors`, the id first."""
    users: Float[Array, "u a c"]
    """Unit factors."""
    items: ItemFactors
    values: dict[str, Float[Array, "i _"]]
    """Probability of each value of each attribute, predicted from the item's factor."""


def explain(config: ADDRLConfig, task: Task, params: Params) -> Explanation:
    """Factors, modality weights and predicted attribute values under trained `params`.

    `disentangle.factor_scores` of a user's and an item's factors are the terms of their score.

    Raises:
        ValueError: see `build`.
    """
    model, inputs = _network(config, task)
    users, items = _factors(model, inputs.features, params)
    logits: Any = model.apply({"params": params}, items.fused, method=ADDRL.predicted)
    values = {n: jax.nn.softmax(x) for n, x in logits.items()}
    names = (*(n for n, _ in model.classes), *["rest"] * config.rest)
    return Explanation(names, ("id", *model.modalities), users, items, values)
