"""Synthetic interactions with planted structure, for tests and notebooks without any download.

Axes: u users, i items, e interactions, c cold items.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from mmjax.data.core.catalogue import Attribute
from mmjax.data.core.interactions import Interactions
from mmjax.data.core.sequences import Sequences, offsets_of


def communities(
    seed: int = 0,
    *,
    n_users: int = 600,
    n_items: int = 400,
    n_communities: int = 8,
    per_user: tuple[int, int, int] = (10, 3, 3),
    affinity: float = 8.0,
) -> Interactions:
    """Users and items in communities; text tells an item's community, the other modality nothing.

    Every user draws items without replacement, `affinity` times likelier inside the own
    community, `per_user` of them for train, valid and test. ``text`` is a random 64-d code of the
    community plus 0.5 N(0, 1); ``noise`` is N(0, 1) in 64 dimensions. (Experiment E0 of the
    MIG-GT checks: text must beat ids alone.)

    Raises:
        ValueError: a user would need more items than there are.
    """
    if sum(per_user) > n_items:
        raise ValueError(f"per_user {per_user} needs more than the {n_items} items there are")
    rng = np.random.default_rng(seed)
    user_community = rng.integers(n_communities, size=n_users)
    item_community = rng.integers(n_communities, size=n_items)
    weights = np.where(user_community[:, None] == item_community[None], affinity, 1.0)
    # The order of Exp(1)/w is that of successive draws without replacement with weights w.
    order = np.argsort(rng.exponential(size=weights.shape) / weights, axis=1)
    splits = _dealt(order, per_user)
    codes = rng.normal(size=(n_communities, 64))
    text = codes[item_community] + 0.5 * rng.normal(size=(n_items, 64))
    return Interactions(
        name="communities",
        split=f"synthetic-{seed}",
        n_users=n_users,
        n_items=n_items,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        features={
            "text": text.astype(np.float32),
            "noise": rng.normal(size=(n_items, 64)).astype(np.float32),
        },
        titles=np.array([f"item {n} of community {c}" for n, c in enumerate(item_community)]),
        source="made here",
    )


class MixedModalities(NamedTuple):
    """A data set in which each kind of item speaks through another modality."""

    data: Interactions
    cold: Int[np.ndarray, "c"]
    """Items without any training pair, the candidates of the test pairs."""


def mixed_modalities(
    seed: int = 0,
    *,
    n_users: int = 800,
    n_items: int = 1200,
    per_user: tuple[int, int] = (40, 10),
    cold_share: float = 0.2,
) -> MixedModalities:
    """Items of four kinds whose taste stands in another place of their features for each kind.

    Users and items have tastes u, z ~ N(0, I_8); a user's affinity is ``u . z`` + 0.5 N(0, 1).
    An item of kind 0, 1 or 2 shows z, randomly projected to 16 dimensions, in ``image``,
    ``audio`` or ``text``, and N(0, 1) in the other two; kind 3 shows it as the difference of
    ``image`` and ``audio`` alone. ``kind`` is twice the one-hot kind. Train is each user's
    `per_user` best warm items, test the best cold ones; there is no validation split. (Experiment
    E0 of the MetaMMF checks: one static layer cannot read all kinds, item-specific weights can.)

    Raises:
        ValueError: there are not enough warm or cold items.
    """
    n_cold = round(cold_share * n_items)
    for name, count, most in (
        ("warm", per_user[0], n_items - n_cold),
        ("cold", per_user[1], n_cold),
    ):
        if count > most:
            raise ValueError(f"per_user {per_user} needs {count} {name} items, there are {most}")
    rng = np.random.default_rng(seed)
    kind = rng.integers(4, size=n_items)
    z, taste = rng.normal(size=(n_items, 8)), rng.normal(size=(n_users, 8))
    blocks = rng.normal(size=(3, n_items, 16))
    taste_views = np.einsum("iz,bzf->bif", z, rng.normal(size=(3, 8, 16)) / 8**0.5)
    for b in range(3):
        blocks[b, kind == b] = taste_views[b, kind == b]
    blocks[0, kind == 3] = (taste_views[0] + blocks[1])[kind == 3]
    affinity = taste @ z.T + 0.5 * rng.normal(size=(n_users, n_items))
    items = rng.permutation(n_items)
    splits = []
    for among, count in ((items[n_cold:], per_user[0]), (items[:n_cold], per_user[1])):
        best = among[np.argsort(-affinity[:, among], axis=1)[:, :count]]
        users = np.repeat(np.arange(n_users), count)
        splits.append(np.stack([users, best.ravel()], 1).astype(np.int32))
    features = {name: blocks[b] for b, name in enumerate(("image", "audio", "text"))}
    features["kind"] = 2.0 * np.eye(4)[kind]
    data = Interactions(
        name="mixed_modalities",
        split=f"synthetic-{seed}",
        n_users=n_users,
        n_items=n_items,
        train=splits[0],
        valid=np.zeros((0, 2), np.int32),
        test=splits[1],
        features={name: x.astype(np.float32) for name, x in features.items()},
        titles=np.array([f"item {n} of kind {k}" for n, k in enumerate(kind)]),
        source="made here",
    )
    return MixedModalities(data, np.sort(items[:n_cold]))


class Preferences(NamedTuple):
    """A data set made by `preferences`, and what each user in it likes."""

    data: Interactions
    attribute: np.ndarray
    """Index of the attribute that a user looks at, in the order of `data.attributes`, ``[u]``."""
    value: np.ndarray
    """The value that the user prefers, ``[u]``."""


def preferences(
    seed: int = 0,
    *,
    n_users: int = 600,
    n_items: int = 600,
    sizes: tuple[int, int, int] = (5, 5, 20),
    per_user: tuple[int, int, int] = (15, 0, 5),
    strength: float = 3.0,
) -> Preferences:
    """Items with three independent attributes, of which each user likes one value of one.

    A user's affinity to an item is `strength` if the item has the value, plus Gumbel noise; the
    best items are dealt at random to train, valid and test, `per_user` to each. ``text`` is a
    random 64-d projection of the one-hots of the first two attributes, ``image`` of the last two,
    each over sqrt(2) and plus 0.3 N(0, 1). (Experiment E0 of the AD-DRL checks.)

    Raises:
        ValueError: a user would need more items than there are.
    """
    drawn = sum(per_user)
    if drawn > n_items:
        raise ValueError(f"per_user {per_user} needs more than the {n_items} items there are")
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.integers(size, size=n_items) for size in sizes], 1)
    attribute = rng.integers(len(sizes), size=n_users)
    value = rng.integers(np.array(sizes)[attribute])
    has = labels[:, attribute].T == value[:, None]
    affinity = strength * has + rng.gumbel(size=has.shape)
    best = np.argsort(-affinity, axis=1)[:, :drawn]
    best = rng.permuted(best, axis=1)
    splits = _dealt(best, per_user)
    one_hot = [np.eye(size)[labels[:, a]] for a, size in enumerate(sizes)]

    def project(x: np.ndarray) -> np.ndarray:
        code = x @ rng.normal(size=(x.shape[1], 64)) / np.sqrt(2)
        return (code + 0.3 * rng.normal(size=code.shape)).astype(np.float32)

    names = ("colour", "material", "shape")
    attributes = {
        name: Attribute(labels[:, a].astype(np.int32), tuple(f"{name} {v}" for v in range(size)))
        for a, (name, size) in enumerate(zip(names, sizes, strict=True))
    }
    data = Interactions(
        name="preferences",
        split=f"synthetic-{seed}",
        n_users=n_users,
        n_items=n_items,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        features={
            "text": project(np.concatenate(one_hot[:2], 1)),
            "image": project(np.concatenate(one_hot[1:], 1)),
        },
        titles=np.array([f"item {n} of {'/'.join(map(str, x))}" for n, x in enumerate(labels)]),
        source="made here",
        attributes=attributes,
    )
    return Preferences(data, attribute, value)


def chains(
    seed: int = 0,
    *,
    n_users: int = 600,
    n_items: int = 120,
    n_clusters: int = 6,
    lengths: tuple[int, int] = (5, 14),
    follow: float = 0.9,
) -> Sequences:
    """Sequences in which the last item alone tells what comes next.

    Items lie in clusters of equal size on a ring. A user starts in a random cluster and goes to
    the next one on the ring with probability `follow`, otherwise to any; the item is drawn
    uniformly from the cluster. Lengths are uniform over `lengths`, both ends included. All items
    are equally popular, and over a long history a user meets all clusters, so what knows no order
    ranks at random. ``text`` is a random 16-d code of the cluster plus 0.1 N(0, 1).

    Raises:
        ValueError: items do not divide into the clusters, or lengths go below 3.
    """
    if n_items % n_clusters or not 3 <= lengths[0] <= lengths[1]:
        raise ValueError(
            f"chains: {n_items} items in {n_clusters} clusters, lengths {lengths}; clusters must "
            "be of equal size and lengths rise from 3 or more"
        )
    rng = np.random.default_rng(seed)
    size = n_items // n_clusters
    length = rng.integers(lengths[0], lengths[1] + 1, size=n_users)
    shape = (n_users, lengths[1])
    step = np.where(rng.random(shape) < follow, 1, rng.integers(n_clusters, size=shape))
    step[:, 0] = rng.integers(n_clusters, size=n_users)
    cluster = np.cumsum(step, axis=1) % n_clusters
    item = cluster * size + rng.integers(size, size=shape)
    kept = np.arange(lengths[1])[None] < length[:, None]
    of_item = np.arange(n_items) // size
    text = rng.normal(size=(n_clusters, 16))[of_item] + 0.1 * rng.normal(size=(n_items, 16))
    return Sequences(
        name="chains",
        n_users=n_users,
        n_items=n_items,
        items=item[kept].astype(np.int32),
        offsets=offsets_of(length),
        features={"text": text.astype(np.float32)},
        titles=np.array([f"item {n} of cluster {c}" for n, c in enumerate(of_item)]),
        item_tags=[f"cluster {c}" for c in of_item],
        attributes={
            "cluster": Attribute(
                of_item.astype(np.int32), tuple(f"cluster {c}" for c in range(n_clusters))
            )
        },
        source="made here",
    )


def topics(
    seed: int = 0,
    *,
    n_users: int = 400,
    n_items: int = 300,
    n_topics: int = 6,
    preferred: int = 2,
    per_user: tuple[int, int, int] = (12, 1, 2),
) -> Interactions:
    """Items of one topic each, which two modalities show; users who like a few topics.

    A user draws from all items of `preferred` topics without replacement, `per_user` of them for
    train, valid and test. ``text`` and ``image`` are N(0, 1) vectors of the topic, 32-d and each
    modality's own, plus 0.5 N(0, 1). Titles tell the topic. (Small experiment of the MMGRec
    checks.)

    Raises:
        ValueError: more topics are preferred than there are, or a user would need more items than
            the preferred topics have.
    """
    rng = np.random.default_rng(seed)
    topic = rng.permutation(np.arange(n_items) % n_topics)
    fewest = preferred * (n_items // n_topics)
    if preferred > n_topics or sum(per_user) > fewest:
        raise ValueError(
            f"per_user {per_user} needs {sum(per_user)} items of {preferred} topics out of "
            f"{n_topics}; there are only {fewest}"
        )
    liked = rng.permuted(np.tile(np.arange(n_topics), (n_users, 1)), axis=1)[:, :preferred]
    likes = (topic[None, :, None] == liked[:, None]).any(2)
    order = np.argsort(np.where(likes, rng.random(likes.shape), 2.0), axis=1)
    splits = _dealt(order, per_user)

    def modality() -> np.ndarray:
        codes = rng.normal(size=(n_topics, 32))
        return (codes[topic] + 0.5 * rng.normal(size=(n_items, 32))).astype(np.float32)

    return Interactions(
        name="topics",
        split=f"synthetic-{seed}",
        n_users=n_users,
        n_items=n_items,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        features={"text": modality(), "image": modality()},
        titles=np.array([f"item {n} of topic {t}" for n, t in enumerate(topic)]),
        source="made here",
    )


def _dealt(
    items: Int[np.ndarray, "u _"], per_user: tuple[int, int, int]
) -> list[Int[np.ndarray, "_ 2"]]:
    """The pairs of train, valid and test, to which each user's row of items is dealt in turn."""
    bounds = np.cumsum((0, *per_user))
    splits = []
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        users = np.repeat(np.arange(len(items)), last - first)
        splits.append(np.stack([users, items[:, first:last].ravel()], 1).astype(np.int32))
    return splits
