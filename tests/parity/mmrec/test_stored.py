"""Recommenders against stored results of enoche/MMRec; needs no PyTorch."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from mmjax.models.multimodal import freedom, mmgcn
from tests.parity.common.comparison import assert_agrees, gradients, near, results, task_of
from tests.parity.common.problem import inputs
from tests.parity.common.records import stored, with_prefix
from tests.parity.common.starts import assert_starts_alike
from tests.parity.mmrec.case import CASES, STARTS, gumbel
from tests.parity.mmrec.ours import MODELS, mmgcn_config

pytestmark = pytest.mark.parity


@pytest.fixture
def noise(monkeypatch):
    """Lets our draws of Gumbel noise be those of a case: a table a modality, users first."""

    def use(case):
        drawn = [np.concatenate([users, items]) for items, users in gumbel(case)]
        tables = itertools.cycle(drawn)
        monkeypatch.setattr(jax.random, "gumbel", lambda *_: jax.numpy.asarray(next(tables)))

    return use


@functools.cache
def given(name):
    """A case, its record and our model for it."""
    case, record = CASES[name], stored("mmrec", name)
    return case, record, MODELS[case.model](case, record)


@pytest.mark.parametrize("name", CASES)
def test_loss_parts_gradients_vectors_and_scores(name, noise):
    case, record, ours = given(name)
    if case.model == "lgmrec":
        noise(case)
    # Some gradients of SLMRec's biases are zero in exact arithmetic, the sum of large ones in ours.
    assert_agrees(ours, record, floor=1e-2 if case.model == "slmrec" else 1e-3)


def test_the_comparison_sees_a_wrong_gradient():
    _, record, ours = given("vbpr")
    name = "grad/item_linear.weight"
    with pytest.raises(AssertionError, match="project"):
        assert_agrees(ours, {**record, name: record[name] * np.float32(1.0001)})


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("lattice")])
def test_lattice_keeps_its_item_graph_within_an_epoch(name):
    _, record, ours = given(name)
    later = results(ours, record, results(ours, record)["state"])
    near("loss", later["loss"], record["later/loss"])
    near("gradient ", later["grads"], gradients(ours, record, "later/grad/"))
    assert not np.asarray(later["grads"]["mix"]).any()


def test_freedom_normalises_what_pruning_leaves():
    """A draw of ours that keeps the same edges gives the same graph."""
    case, record, _ = given("freedom")
    task, keep = task_of(case, record), 3.5 / len(record["pairs"])
    config = freedom.FREEDOMConfig(k=3, dropout=1 - keep)
    epoch, edges = freedom.build(config, task).objective.epoch, task.adjacency().structure
    keys = jax.random.split(jax.random.key(0), 1 << 15)
    drawn = jax.jit(jax.vmap(lambda key: epoch(key)["weights"]))(keys)
    want = record["pruned"][np.asarray(edges.receivers), np.asarray(edges.senders)]
    same = np.flatnonzero(((np.asarray(drawn) > 0) == (want > 0)).all(1))
    assert len(same)
    near("weights", drawn[same[0]], want)


def test_mmgcn_with_constant_ids_as_released():
    case, record, free = given("mmgcn")
    fixed = {k: x for k, x in free.names.items() if k.endswith(("_embedding", "_preference"))}
    config = dataclasses.replace(mmgcn_config(case), trainable_ids=False)
    model = mmgcn.build(config, task_of(case, record))
    ours = dataclasses.replace(
        free,
        objective=model.objective,
        retriever=model.retriever,
        names={k: x for k, x in free.names.items() if k not in fixed},
        state={f"frozen/{k}": x for k, x in fixed.items()},
    )
    found = results(ours, record)
    near("loss", found["loss"], record["loss"])
    near("items", found["predicted"][1], record["items"])
    near("gradient ", found["grads"], gradients(ours, record))


@pytest.mark.parametrize("name", STARTS)
def test_parameters_start_alike(name):
    case = STARTS[name]
    ours = MODELS[case.model](case, inputs(case))
    assert_starts_alike(ours, with_prefix(stored("mmrec", "start"), f"{name}/"))
