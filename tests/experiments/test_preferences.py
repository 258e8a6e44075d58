"""Synthetic experiment E0 of AD-DRL: its losses must keep the attributes in their own factors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_array_equal

from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.interactions import validate
from mmjax.data.synthetic.interactions import preferences
from mmjax.evaluation import ranking
from mmjax.models.common.task import Task
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.models.multimodal.ad_drl.objective import build, explain, steer
from mmjax.retriever import Vectors, given_vectors
from mmjax.training.sources.pairs import pairs_source

WITH = ADDRLConfig(factor_width=16, intra=1.0, inter=0.1, values=10.0, l2=0.0)
WITHOUT = ADDRLConfig(factor_width=16, intra=0.0, inter=0.0, values=0.0, l2=0.0)
STEPS = 1200


@functools.cache
def figures(config, seed):
    """Recall@20, share of the preferred value in the top 10, the same by the user's factor alone,
    and the accuracy of the probe of each attribute (rows) from each factor (columns).
    """
    data, attribute, value = preferences(seed)
    labels = {name: a.labels for name, a in data.attributes.items()}
    task = Task(data.train, data.n_users, data.n_items, data.features, labels)
    params = _train(build(config, task).objective, data, seed)
    known = explain(config, task, params)
    users, items = known.users, known.items.fused
    vectors = Vectors(users.reshape(len(users), -1), items.reshape(len(items), -1))
    found = ranking.ranking_task(data.test, data.train, data.n_users, data.n_items)
    score = steer(jnp.ones(4))
    retriever = given_vectors(data.n_items, score=score)
    recall = ranking.summarise(ranking.evaluate(retriever, vectors, found, ks=(20,)))
    liked = np.stack(list(labels.values()))[attribute] == value[:, None]

    def share(score, users):
        retriever = given_vectors(data.n_items, score=score)
        ids = np.asarray(ranking.rank(retriever, vectors, found, k=10).ids)
        return np.take_along_axis(liked, ids, 1)[users]

    alone = [share(steer(jnp.eye(4)[a]), attribute == a) for a in range(3)]
    controlled = np.concatenate(alone).mean()
    probes = _probes(np.asarray(items), labels, seed)
    return recall["recall@20"], share(score, slice(None)).mean(), controlled, probes


def _train(objective, data, seed):
    unseen = negative_index(data.train, data.n_users, data.n_items)
    source = pairs_source(data.train, data.n_items, 1024, n_negatives=4, unseen=unseen)
    optimiser = optax.adam(1e-3)

    def step(carry, i):
        params, moments, plan, key = carry
        key_batch, key_loss = jax.random.split(jax.random.fold_in(key, i))
        batch = source.batch(plan, i, key_batch)
        slopes = jax.grad(lambda p: objective.loss(p, {}, batch, key_loss)[0])(params)
        updates, moments = optimiser.update(slopes, moments)
        return (optax.apply_updates(params, updates), moments, plan, key), None

    @jax.jit
    def epoch(params, moments, key):
        key_plan, key_steps = jax.random.split(key)
        start = params, moments, source.epoch(key_plan), key_steps
        carry, _ = jax.lax.scan(step, start, jnp.arange(source.steps_per_epoch))
        return carry[:2]

    params = jax.jit(objective.init)(jax.random.key(seed))["params"]
    moments = optimiser.init(params)
    for n in range(STEPS // source.steps_per_epoch):
        params, moments = epoch(params, moments, jax.random.key(1000 * seed + n + 1))
    return params


def _probes(fused, labels, seed):
    """Accuracy of the nearest class mean, half of the items held out."""
    order = np.random.default_rng(seed).permutation(len(fused))
    half = len(fused) // 2
    known, held_out = order[:half], order[half:]
    accuracy = np.zeros((len(labels), fused.shape[1]))
    for a, label in enumerate(labels.values()):
        classes = np.unique(label[known])
        for c in range(fused.shape[1]):
            x = fused[:, c]
            means = np.stack([x[known][label[known] == v].mean(0) for v in classes])
            gaps = ((x[held_out][:, None] - means) ** 2).sum(-1)
            accuracy[a, c] = (classes[gaps.argmin(1)] == label[held_out]).mean()
    return accuracy


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_factors_hold_their_attributes_and_help(seed):
    recall, share, controlled, probes = figures(WITH, seed)
    plain_recall, plain_share, plain_controlled, plain_probes = figures(WITHOUT, seed)
    print(f"seed {seed}: with {recall:.3f} {share:.3f} {controlled:.3f}", probes.round(2).tolist())
    print(f"without {plain_recall:.3f} {plain_share:.3f} {plain_controlled:.3f}")
    print(plain_probes.round(2).tolist())
    own = probes[np.arange(3), np.arange(3)]
    others = np.where(np.eye(3, 4, dtype=bool), 0, probes).max(1)
    assert (own >= 0.95).all() and (own >= others + 0.2).all()
    assert (np.ptp(plain_probes, axis=1) <= 0.15).all()
    assert controlled >= share and controlled > plain_controlled + 0.25
    assert recall > plain_recall


def test_made_as_described():
    data, attribute, value = preferences(3)
    validate(data)
    assert (data.n_users, data.n_items) == (600, 600)
    assert_array_equal(np.bincount(data.train[:, 0]), np.full(600, 15))
    assert_array_equal(np.bincount(data.test[:, 0]), np.full(600, 5))
    assert [len(a.classes) for a in data.attributes.values()] == [5, 5, 20]
    labels = np.stack([a.labels for a in data.attributes.values()])
    user, item = np.concatenate([data.train, data.test]).T
    liked = labels[attribute[user], item] == value[user]
    assert 0.8 < liked[attribute[user] < 2].mean() < 1.0
    again = preferences(3)
    assert again.data.digest == data.digest != preferences(4).data.digest


def test_content_tells_the_attributes_it_should():
    data = preferences(0).data
    colour, _, shape = (np.eye(len(a.classes))[a.labels] for a in data.attributes.values())

    def explained(x, of):
        """Share of the variance of `x` between the classes."""
        means = (of.T @ x) / of.sum(0)[:, None]
        return ((of @ means - x.mean(0)) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()

    text, image = data.features["text"], data.features["image"]
    assert explained(text, colour) > 0.2 > 0.05 > explained(image, colour)
    assert explained(image, shape) > 0.2 > 0.1 > explained(text, shape)


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="needs more"):
        preferences(n_items=10)
