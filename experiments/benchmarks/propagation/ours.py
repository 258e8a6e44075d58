"""One propagation over a user-item graph: mmjax against jraph and, where there is one, PyTorch.

    python -m experiments.benchmarks.propagation [--torch-python PATH] [--data DIR] [--out FILE]

y = A x with the symmetrically normalised adjacency A (self-loops included) and 64 features, and
its gradient. "constant" differentiates x, as LightGCN does; "learned" differentiates the edge
weights too. All candidates of a graph run in alternating rounds, PyTorch in a process of its own;
speed-ups are medians of the ratios within a round. Graphs: Amazon Baby (the train edges in
DIR/interactions.npz, else as many drawn at random) and 300,000 nodes with 3 million interactions.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from experiments.benchmarks import harness
from mmjax.blocks.graphs.graph import bipartite, normalise
from mmjax.blocks.graphs.sparse import operator, spmm

TASKS = ("constant", "learned")
BASELINE = "jraph GraphConvolution"


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """One propagation over a user-item graph: mmjax against jraph and PyTorch."""

    rounds: int = 11
    data: Path | None = None
    """Directory with interactions.npz (train_user, train_item, n_users, n_items) of Baby."""
    graphs: tuple[str, ...] = ("baby", "large")
    """Which graphs: baby, large, tiny."""
    layouts: tuple[str, ...] = ("csr", "ell", "segment")
    """Which layouts of mmjax."""
    width: int = 64
    """Features."""


def interactions(name: str, data: Path | None) -> tuple[np.ndarray, int, int, str]:
    """Pairs, number of users and of items, and where they come from.

    Raises:
        ValueError: no graph of that name.
    """
    if name == "baby" and data is not None:
        with np.load(data / "interactions.npz") as file:
            pairs = np.stack([file["train_user"], file["train_item"]], axis=1)
            return pairs, int(file["n_users"]), int(file["n_items"]), "interactions.npz"
    sizes = {
        "tiny": (60, 40, 300),
        "baby": (19_445, 7_050, 118_551),
        "large": (200_000, 100_000, 3_000_000),
    }
    if name not in sizes:
        raise ValueError(f"graphs are {', '.join(sizes)}, got {name!r}")
    n_users, n_items, count = sizes[name]
    draw = np.random.default_rng(0)

    def popular(n: int, power: float, size: int) -> np.ndarray:
        weight = np.arange(1, n + 1) ** -power
        return draw.permutation(n)[draw.choice(n, size, p=weight / weight.sum())]

    size = 2 * count
    flat = np.unique(popular(n_users, 0.5, size) * n_items + popular(n_items, 0.8, size))
    pairs = np.stack(np.divmod(draw.permutation(flat)[:count], n_items), axis=1)
    return pairs, n_users, n_items, "synthetic, power law"


def jax_products(graph: jraph.GraphsTuple, layouts: tuple[str, ...]) -> dict[str, tuple]:
    """By name: a product ``f(operand, x, weights)`` (None: its own weights) and its operand."""
    n = int(graph.n_node[0])
    on_device = jax.tree.map(jnp.asarray, graph)

    def segment_sum(graph: jraph.GraphsTuple, x: Any, weights: Any) -> Any:
        weights = graph.edges if weights is None else weights
        return jraph.segment_sum(
            weights[:, None] * x[graph.senders], jnp.asarray(graph.receivers), n
        )

    convolve = jraph.GraphConvolution(lambda nodes: nodes, symmetric_normalization=True)

    def convolution(graph: jraph.GraphsTuple, x: Any, weights: Any) -> Any:
        return convolve(graph._replace(nodes=x)).nodes

    products: dict[str, tuple] = {
        f"mmjax {layout}": (
            lambda op, x, weights: spmm(op, x, weights),
            operator(graph, layout=layout),
        )
        for layout in layouts
    }
    products["jraph segment_sum"] = segment_sum, on_device
    products[BASELINE] = convolution, on_device
    return products


def program(product: Callable, operand: Any, x: Any, weights: Any, task: str) -> Any:
    """The compiled forward and backward pass, bound to its inputs."""

    def run(operand: Any, x: Any, weights: Any, g: Any) -> Any:
        if task == "constant":
            y, pull = jax.vjp(lambda x: product(operand, x, None), x)
        else:
            y, pull = jax.vjp(lambda x, w: product(operand, x, w), x, weights)
        return y, pull(g)

    return jax.jit(run).lower(operand, x, weights, x).compile()


def measure(name: str, options: Options) -> dict[str, Any]:
    """All candidates on one graph; prints its tables."""
    pairs, n_users, n_items, source = interactions(name, options.data)
    graph = normalise(bipartite(pairs, n_users, n_items, self_loops=True))
    arrays = {
        "senders": np.asarray(graph.senders),
        "receivers": np.asarray(graph.receivers),
        "weights": np.asarray(graph.edges),
    }
    nodes, edges = n_users + n_items, len(arrays["weights"])
    x = jax.random.normal(jax.random.key(0), (nodes, options.width))
    weights = jnp.asarray(arrays["weights"])
    expected, result = None, {"nodes": nodes, "edges": edges, "source": source, "tasks": {}}
    print(f"\n{name}: {nodes:,} nodes, {edges:,} directed edges ({source})", flush=True)
    products = jax_products(graph, options.layouts)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = Path(folder) / "graph.npz"
        np.savez(file, allow_pickle=False, x=np.asarray(x), **arrays)
        peer = stack.enter_context(harness.peer(options, __name__, graph=str(file)))
        if peer.about:
            result["torch"] = peer.about
        for task in TASKS:
            candidates, memory = {}, {}
            for label, (product, operand) in products.items():
                if task == "learned" and label == BASELINE:
                    continue
                compiled = program(product, operand, x, weights, task)
                y = np.asarray(compiled(operand, x, weights, x)[0])
                expected = y if expected is None else expected
                np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)
                memory[label] = f"{harness.temporary_mib(compiled):.1f} MiB temporary"
                candidates[label] = harness.calibrated(
                    lambda f=compiled, a=operand: f(a, x, weights, x),
                    wait=jax.block_until_ready,
                    clock=harness.clock(options),
                )
            for label, candidate in peer.candidates.items():
                kind, _, title = label.partition(": ")
                if kind == task:
                    candidates[title] = candidate
            compared = harness.compare(
                candidates,
                BASELINE if BASELINE in candidates else "jraph segment_sum",
                rounds=options.rounds,
                warmup=2,
                title=f"{task} weights, forward and backward",
                note=lambda row, memory=memory: f"{memory.get(row.name, ''):>24}",
            )
            result["tasks"][task] = {
                "baseline": compared.baseline,
                "rows": [{**row, "temporary": memory.get(row["name"])} for row in compared.records],
            }
    return result


def main(options: Options) -> None:
    """Measure every graph, print the tables and write the JSON."""
    harness.limit_threads(options)
    record = {
        **harness.record(options, ("jraph",)),
        "width": options.width,
        "graphs": {name: measure(name, options) for name in options.graphs},
    }
    harness.write(options, record)
