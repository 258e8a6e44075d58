"""Parameters of an earlier run on a catalogue that grew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mmjax.errors import UserError
from mmjax.objective import Objective
from mmjax.training.warm import entries, warm_started

OLD, NEW = {"users": 2, "items": 3}, {"users": 3, "items": 4}


def init(sizes, key):
    """Tables of users, of items and of both, and a layer."""
    users, items = sizes["users"], sizes["items"]
    shapes = {"user": (users, 2), "item": (items, 2), "nodes": (users + items, 1), "dense": (2, 2)}
    names = enumerate(shapes.items())
    draw = {n: jax.random.normal(jax.random.fold_in(key, k), s) for k, (n, s) in names}
    return {"params": draw}


def objective(sizes):
    return Objective(Partial(Partial(init), sizes), Partial(lambda *_: None))


@pytest.fixture
def kinds():
    # Users b, a stay and c is new; of the items x, y, z the second is gone and two are new.
    return (
        entries("user", np.array(["a", "b"]), np.array(["b", "a", "c"])),
        entries("item", np.array(["x", "y", "z"]), np.array(["x", "z", "v", "w"])),
    )


def test_rows_follow_their_raw_ids(kinds):
    old = init(OLD, jax.random.key(0))
    warm, counts = warm_started(objective(NEW), old, kinds)
    assert counts == {"whole": 1, "rows": 3, "fresh": 0}
    fresh, found = init(NEW, jax.random.key(1)), jax.jit(warm.init)(jax.random.key(1))
    before, start, got = old["params"], fresh["params"], found["params"]
    np.testing.assert_array_equal(got["dense"], before["dense"])
    user = jnp.stack([before["user"][1], before["user"][0], start["user"][2]])
    np.testing.assert_array_equal(got["user"], user)
    item = jnp.stack([before["item"][0], before["item"][2], *start["item"][2:]])
    np.testing.assert_array_equal(got["item"], item)
    # Users first, then items: rows 1, 0, new, 2, 4, new, new.
    nodes = [before["nodes"][n] if n >= 0 else None for n in (1, 0, -1, 2, 4, -1, -1)]
    nodes = [start["nodes"][n] if row is None else row for n, row in enumerate(nodes)]
    np.testing.assert_array_equal(got["nodes"], jnp.stack(nodes))


def test_the_same_catalogue_takes_all_over(kinds):
    same = tuple(entries(k, np.arange(n), np.arange(n)) for k, n in (("user", 2), ("item", 3)))
    old = init(OLD, jax.random.key(0))
    warm, _ = warm_started(objective(OLD), old, same)
    found = warm.init(jax.random.key(5))
    jax.tree.map(np.testing.assert_array_equal, found, old)


def test_what_does_not_fit_starts_anew_or_is_refused(kinds):
    old = init(OLD, jax.random.key(0))["params"]
    other = {"params": {"user": old["user"], "else": old["dense"]}}
    _, counts = warm_started(objective(NEW), other, kinds)
    assert counts == {"whole": 0, "rows": 1, "fresh": 3}
    with pytest.raises(UserError, match="no parameter of the earlier run fits"):
        warm_started(objective(NEW), {"params": {"else": old["dense"]}}, kinds)
