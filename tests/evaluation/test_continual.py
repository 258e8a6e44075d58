"""Measures of continual learning on matrices worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.evaluation import continual

NAN = float("nan")


@jax.jit
def everything(p):
    """All measures in one program."""
    return {
        "average": continual.average(p),
        "incremental": continual.average_incremental(p),
        "backward": continual.backward_transfer(p),
        "forgetting": continual.forgetting(p),
        "later": continual.forgetting(p, include_initial=False),
        "ever": continual.forgetting(p, kind="ever"),
        "steps": continual.forgetting(p, kind="steps"),
        "learning": continual.learning(p),
        "all": continual.learning(p, include_initial=True),
    }


def test_document_retrieval_example():
    found = everything(jnp.array([[80, NAN, NAN], [70, 60, NAN], [65, 50, 40.0]]))
    want = {"average": 51.6667, "learning": 50, "forgetting": 12.5, "later": 10, "all": 60}
    assert {name: float(found[name]) for name in want} == pytest.approx(want, abs=1e-3)
    last = np.full((5, 5), NAN, np.float32)
    last[-1] = [59.6, 28.0, 36.0, 38.7, 51.6]
    assert continual.average(jnp.asarray(last)) == pytest.approx(42.78, abs=1e-4)


def test_class_incremental_example():
    found = everything(jnp.array([[0.9, NAN, NAN], [0.7, 0.8, NAN], [0.6, 0.75, 0.85]]))
    want = {
        "average": 0.733333,
        "incremental": 0.794444,
        "backward": -0.175,
        "forgetting": 0.175,
        "steps": 0.1375,
        "all": 0.85,
    }
    assert {name: float(found[name]) for name in want} == pytest.approx(want, abs=1e-6)


def test_a_task_that_improved_is_forgotten_negatively_or_not_at_all():
    p = jnp.array([[0.5, NAN], [0.7, 0.9]])
    found = everything(p)
    assert found["forgetting"] == pytest.approx(-0.2) and found["ever"] == 0
    assert found["later"] == 0
    one = jnp.array([[0.5]])
    assert continual.forgetting(one) == continual.backward_transfer(one) == 0


def test_forward_transfer_reads_what_was_not_learnt_yet():
    p = jnp.array([[0.9, 0.3, 0.1], [0.9, 0.8, 0.4], [0.9, 0.8, 0.7]])
    untrained = jnp.array([0.1, 0.1, 0.2])
    assert continual.forward_transfer(p, untrained) == pytest.approx(0.2)


def test_f_beta():
    assert continual.f_beta(40, 80) == pytest.approx(53.3333, abs=1e-3)
    assert continual.f_beta(40, 80, beta=5.0) == pytest.approx(77.037, abs=1e-3)
    np.testing.assert_array_equal(continual.f_beta(jnp.zeros(2), jnp.array([0.0, 1.0])), [0, 0])


def test_rows_of_new_documents():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    found = continual.rows_of_new(np.array([[2, 0], [0, 2]]), 2, rows)
    assert found == {"intrusion": 0.5, "norm_ratio": 3.0}
