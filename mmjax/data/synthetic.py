"""Synthetic interactions with planted structure, for tests and notebooks without any download.

Axes: u users, i items, e interactions.
"""

import numpy as np

from mmjax.data.interactions import Interactions


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
    bounds = np.cumsum((0, *per_user))
    splits = []
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        users = np.repeat(np.arange(n_users), last - first)
        splits.append(np.stack([users, order[:, first:last].ravel()], 1).astype(np.int32))
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
