"""Our side of the comparison with the authors' code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.models.common.task import Task
from mmjax.objective import Objective
from mmjax.retriever import Retriever
from tests.parity.common.problem import Case
from tests.parity.common.records import Record, nested, with_prefix

Names = Mapping[str, Callable[[Record], np.ndarray]]
"""Path of a parameter of ours -> what it is made of, by official names."""


@dataclass(frozen=True)
class Ours:
    """A model of ours beside an official one.

    Attributes:
        objective: built with the switches that the case asks for.
        retriever: its retriever of vectors; None where there are no vectors to compare.
        names: every parameter of ours.
        state: the same for what is kept beside the parameters.
        scale: part of the loss -> what our metric of that name is multiplied by to be the
            official part.
        batch: what our batches carry besides the rows.
        parts: our metric of a part of the loss -> the record's name of it, where they differ.
        score: how vectors are compared; None is by the inner product.
    """

    objective: Objective
    retriever: Retriever | None
    names: Names
    state: Names = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    batch: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    score: Callable[[jax.Array, jax.Array], jax.Array] | None = None


def near(what: str, got: Any, want: Any, rtol: float = 1e-5, floor: float = 1e-3) -> None:
    """Assert that trees are equal but for small errors.

    Errors are relative to the largest entry of an array, or to `floor` where that is larger.
    """
    assert jax.tree.structure(got) == jax.tree.structure(want), what
    leaves = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True)
    for (path, left), right in leaves:
        message = what + jax.tree_util.keystr(path)
        atol = rtol * max(floor, float(np.abs(right).max(initial=0.0)))
        np.testing.assert_allclose(left, right, rtol=0, atol=atol, err_msg=message)


def table(ours: str, theirs: str) -> Names:
    """A parameter that both sides hold in the same layout."""
    return {ours: lambda record: record[theirs]}


def linear(ours: str, theirs: str, *, bias: bool = True) -> Names:
    """An affine map: PyTorch's weights are our kernel transposed."""
    names = {f"{ours}/kernel": lambda record: record[f"{theirs}.weight"].T}
    return merged(names, table(f"{ours}/bias", f"{theirs}.bias")) if bias else names


def merged(*names: Names) -> dict[str, Callable[[Record], np.ndarray]]:
    """All of them as one."""
    return {ours: theirs for each in names for ours, theirs in each.items()}


def task_of(case: Case, record: Record) -> Task:
    """The problem as our models take it."""
    features = with_prefix(record, "features/")
    return Task(record["pairs"], case.n_users, case.n_items, features)


def tree(names: Names, record: Record) -> dict[str, Any]:
    """Official arrays as a tree of ours."""
    return nested({tuple(k.split("/")): np.asarray(f(record)) for k, f in names.items()})


@jax.jit
def _results(
    objective: Objective, retriever: Retriever | None, params: Any, state: Any, batch: Any
) -> Any:
    key = jax.random.key(0)

    def loss(params: Any) -> Any:
        return objective.loss(params, state, batch, key)

    (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(params)
    vectors = retriever and retriever.index({"params": params, **state}, key)
    return value, aux, grads, vectors


def results(ours: Ours, record: Record, state: Any = None) -> dict[str, Any]:
    """Loss, its parts, gradients, what evaluation reads and the new state of our model on a record.

    `state` is what an earlier step left; None starts afresh.
    """
    shapes = jax.eval_shape(ours.objective.init, jax.random.key(0))
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    weights = with_prefix(record, "state/")
    variables = {**blank, **tree(ours.state, weights), "params": tree(ours.names, weights)}
    found, wanted = (jax.tree.map(jnp.shape, x) for x in (variables, blank))
    assert found == wanted, f"the official parameters make {found}, but our model has {wanted}"
    params = jax.tree.map(jnp.asarray, variables.pop("params"))
    rows = {k: jnp.asarray(record[k], jnp.int32) for k in ("user", "item", "negatives")}
    rows |= {"where": jnp.ones(len(rows["user"]), bool), **ours.batch}
    state = variables if state is None else state
    value, aux, grads, predicted = _results(ours.objective, ours.retriever, params, state, rows)
    parts = {k: v * ours.scale.get(k, 1.0) for k, v in aux.metrics.items()}
    return {
        "loss": value,
        "parts": {ours.parts.get(k, k): v for k, v in parts.items()},
        "grads": grads,
        "predicted": predicted,
        "state": aux.state,
    }


def gradients(ours: Ours, record: Record, prefix: str = "grad/") -> dict[str, Any]:
    """The official gradients as a tree of ours."""
    return tree(ours.names, with_prefix(record, prefix))


def assert_agrees(ours: Ours, record: Record, floor: float = 1e-3) -> None:
    """Compare loss, its parts, gradients, vectors where both sides have them, and scores."""
    found = results(ours, record)
    near("loss", found["loss"], record["loss"])
    near("part ", found["parts"], with_prefix(record, "part/"))
    near("gradient ", found["grads"], gradients(ours, record), floor=floor)
    users, items = found["predicted"]
    if "users" in record:
        near("vectors", (users, items), (record["users"], record["items"]))
    score = ours.score or (lambda users, items: users @ items.T)
    near("scores", score(users, items), record["scores"])
