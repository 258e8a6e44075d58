"""What models are built from."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mmjax.blocks.graphs.sparse import spmm
from mmjax.models.common.task import Task

PAIRS = np.array([[0, 0], [0, 1], [1, 1], [2, 0]], np.int32)
FEATURES = {"text": np.array([[3.0, 4.0], [0.0, 2.0]], np.float32), "image": np.ones((2, 3))}


def _dense(op):
    return np.asarray(spmm(op, jnp.eye(5)))


def _task() -> Task:
    return Task(PAIRS, 3, 2, FEATURES)


def test_the_two_ways_add_up_to_the_adjacency():
    task = _task()
    users, items = _dense(task.one_way("users")), _dense(task.one_way("items"))
    assert_allclose(users + items, _dense(task.adjacency()), atol=1e-7)
    assert (users[3:] == 0).all() and (items[:3] == 0).all()
    assert users[:3].any() and items[3:].any()


def test_graphs_are_made_once():
    task = _task()
    assert task.adjacency() is task.adjacency()
    assert task.adjacency() is not task.adjacency(self_loops=True)
    assert task.item_graph("text", k=2) is task.item_graph("text", k=2)
    assert task.content(("text",))["text"] is task.content()["text"]
    assert _task().adjacency() is not task.adjacency()


def test_content_has_rows_of_length_one_in_the_order_asked_for():
    content = _task().content(("text", "image"))
    assert list(content) == ["text", "image"]
    assert_allclose(content["text"], [[0.6, 0.8], [0.0, 1.0]], rtol=1e-6)
    assert_allclose(_task().content(normalise=False)["text"], FEATURES["text"])


def test_what_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"\['audio'\] are not among the features"):
        _task().content(("audio",))
    with pytest.raises(ValueError, match="the data have none"):
        Task(PAIRS, 3, 2).content()
    with pytest.raises(ValueError, match="'users' or 'items', got 'both'"):
        _task().one_way("both")
