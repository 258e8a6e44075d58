"""Our side of the comparison of MIG-GT: the same problems by our model."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.blocks.graphs.graph import bipartite, normalise
from mmjax.blocks.graphs.sparse import operator
from mmjax.models.multimodal.mig_gt.config import MIGGTConfig
from mmjax.models.multimodal.mig_gt.network import MIGGT, memory_attention
from mmjax.models.multimodal.mig_gt.objective import loss_terms
from tests.parity.common.records import Record, nested, with_prefix
from tests.parity.mig_gt.case import ATTENTION, HIDDEN, MODALITIES, WIDTH, Case


def _flax_path(name: str) -> tuple[tuple[str, ...], bool] | None:
    """The place of a PyTorch parameter or buffer in our variables, and whether transposed."""
    parts = name.split(".")
    if parts[0] in ("user_embedding", "item_embedding"):
        return ("params", parts[0]), False
    if parts[0] == "attention":
        bias = parts[2] == "bias"
        return ("params", parts[1] + "_bias" * bias), not bias
    _, modality, index, leaf = parts
    if leaf == "num_batches_tracked":
        return None
    block, layer = ("hidden", int(index)) if int(index) < 4 else ("output", int(index) - 4)
    scope = f"encoder_{modality}"
    if layer == 1:
        kernel = leaf == "weight"
        return ("params", scope, block, "kernel" if kernel else "bias"), kernel
    if layer == 3:
        return ("params", scope, f"{block}_slope", "negative_slope"), False
    kind = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}[leaf]
    root = "batch_stats" if leaf.startswith("running") else "params"
    return (root, scope, f"{block}_norm", kind), False


def flax_tree(arrays: Record, dtype: Any) -> dict[str, Any]:
    """PyTorch-named weights, buffers or gradients as the tree of our variables.

    The transformer's are left out with `samples` 0, where our model has none.
    """
    flat = {}
    for name, value in arrays.items():
        if (found := _flax_path(name)) is not None:
            path, transpose = found
            value = value.reshape(()) if path[-1] == "negative_slope" else value
            flat[path] = np.asarray(value.T if transpose else value, dtype)
    return nested(flat)


def model_config(case: Case) -> MIGGTConfig:
    """Our configuration of a case, without dropout."""
    rates = {name: 0.0 for name in asdict(MIGGTConfig()) if name.endswith("_dropout")}
    return replace(
        MIGGTConfig(),
        modalities=MODALITIES[: len(case.hops)],
        width=WIDTH,
        hidden=HIDDEN,
        attention_width=ATTENTION,
        id_hops=case.hops_id,
        hops=case.hops,
        samples=case.samples,
        item_embedding=case.item_embeddings,
        alpha=case.alpha,
        beta=case.beta,
        mix=case.mix,
        l2=case.l2,
        **rates,
    )


def x64() -> Any:
    """Context of double precision, under the name of the installed JAX."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


def ours(case: Case, record: Record, mode: str, dtype: Any = jnp.float32) -> dict[str, Any]:
    """Vectors, memories, loss parts, gradients and new statistics of our model on a record."""
    config = model_config(case)
    graph = operator(
        normalise(bipartite(record["pairs"], case.n_users, case.n_items, self_loops=True))
    )
    features = {k: jnp.asarray(v, dtype) for k, v in with_prefix(record, "features/").items()}
    weights = with_prefix(record, "state/")
    if case.samples == 0:
        weights = {k: v for k, v in weights.items() if not k.startswith("attention")}
    variables = flax_tree(weights, dtype)
    rows = {k: jnp.asarray(record[k], jnp.int32) for k in ("user", "item", "negatives")}
    rows["where"] = jnp.ones(case.batch, bool)
    model = MIGGT(config, case.n_users, case.n_items)

    def total(params: Any) -> tuple[jax.Array, Any]:
        nodes, state = model.apply(
            {**variables, "params": params},
            features,
            graph,
            samples=jnp.asarray(record["samples"], jnp.int32),
            train=mode == "train",
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        terms = loss_terms(config, nodes, case.n_users, rows)
        return sum(terms.values()), (nodes, terms, state)

    step = jax.jit(jax.grad(total, has_aux=True))
    grads, (nodes, terms, state) = step(variables["params"])
    memory = nodes.fused[:, None]
    if nodes.attention is not None:
        sampled = nodes.fused[case.n_users :][nodes.samples]
        memory = memory_attention(
            jnp.concatenate([memory, sampled], 1), nodes.attention, mix=config.mix
        )
    return {
        "final": nodes.final,
        "outputs": memory,
        "terms": terms,
        "grads": grads,
        "statistics": state.get("batch_stats", {}),
    }


def _biased(record: Record, mode: str) -> dict[str, np.ndarray]:
    """Running statistics as Flax keeps them: PyTorch multiplies a batch's variance by i / (i - 1)
    before averaging it in, Flax does not. It is the one difference between the two models."""
    statistics = with_prefix(record, f"{mode}/statistics/")
    for name in statistics:
        if name.endswith("running_var") and mode == "train":
            n_items = len(record[f"features/{name.split('.')[1]}"])
            old = 0.9 * record[f"state/{name}"]
            statistics[name] = old + (statistics[name] - old) * (n_items - 1) / n_items
    return statistics


def assert_equal_results(
    result: Mapping[str, Any], record: Record, mode: str, rtol: float, floor: float = 1.0
) -> None:
    """Compare `ours` with the record of a mode.

    Errors are relative to the largest entry of an array, or to `floor` where that is larger:
    some gradients, such as the keys' bias, are zero in exact arithmetic and noise in ours.
    """
    want = with_prefix(record, f"{mode}/")
    if "query" not in result["grads"]:
        want = {k: v for k, v in want.items() if not k.startswith("grad/attention")}
    grads = flax_tree(with_prefix(want, "grad/"), np.float64)["params"]
    statistics = flax_tree(_biased(record, mode), np.float64).get("batch_stats", {})
    terms = {k: result["terms"].get(k, 0.0) for k in ("rank", "l2", "tur")}
    for what, got, expected in (
        ("final", result["final"], want["final"]),
        ("outputs", result["outputs"], want["outputs"]),
        ("term", terms, {k: want[f"loss/{k}"] for k in terms}),
        ("gradient", result["grads"], grads),
        ("statistics", result["statistics"], statistics),
    ):
        assert jax.tree.structure(got) == jax.tree.structure(expected), what
        pairs = zip(
            jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(expected), strict=True
        )
        for (path, left), right in pairs:
            atol = rtol * max(floor, float(np.abs(right).max(initial=0.0)))
            message = what + jax.tree_util.keystr(path)
            np.testing.assert_allclose(left, right, rtol=0, atol=atol, err_msg=message)
