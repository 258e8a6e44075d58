"""One propagation over a user-item graph: mmjax against jraph and, where there is one, PyTorch.

    python -m experiments.benchmarks.propagation [--torch-python PATH] [--data DIR] [--out FILE]

y = A x with the symmetrically normalised adjacency A (self-loops included) and 64 features, and
its gradient. "constant" differentiates x, as LightGCN does; "learned" differentiates the edge
weights too. All candidates of a graph run in alternating rounds, PyTorch in a process of its own;
speed-ups are medians of the ratios within a round. Graphs: Amazon Baby (the train edges in
DIR/interactions.npz, else as many drawn at random) and 300,000 nodes with 3 million interactions.
"""

import importlib.util
import sys
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
import tyro

from experiments.benchmarks import timing
from mmjax.blocks.graphs.graph import bipartite, normalise
from mmjax.blocks.graphs.sparse import operator, spmm

TORCH = "experiments.benchmarks.torch_propagation"
TASKS = ("constant", "learned")
BASELINE = "jraph GraphConvolution"


@dataclass(frozen=True)
class Options:
    """One propagation over a user-item graph: mmjax against jraph and PyTorch."""

    out: Path | None = None
    """Write the figures, the command, the commit and the versions to this JSON file."""
    torch_python: str | None = None
    """Python with PyTorch (default: this one, if it has it)."""
    data: Path | None = None
    """Directory with interactions.npz (train_user, train_item, n_users, n_items) of Baby."""
    graphs: tuple[str, ...] = ("baby", "large")
    """Which graphs: baby, large, tiny."""
    layouts: tuple[str, ...] = ("csr", "ell", "segment")
    """Which layouts of mmjax."""
    width: int = 64
    """Features."""
    rounds: int = 11
    """Rounds that count."""


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


def calibrated(run: Callable[[], Any], wait: Callable[[Any], Any]) -> timing.Candidate:
    """A candidate that repeats `run` for some 50 ms per round."""
    once = timing.timed(run, wait=wait)
    once()
    return timing.timed(run, wait=wait, repeat=max(1, int(0.05 / once())))


def measure(name: str, options: Options, python: str | None) -> dict[str, Any]:
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
    expected, found = None, {"nodes": nodes, "edges": edges, "source": source, "tasks": {}}
    print(f"\n{name}: {nodes:,} nodes, {edges:,} directed edges ({source})", flush=True)
    products = jax_products(graph, options.layouts)
    with ExitStack() as stack:
        remote = None
        if python is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            file = Path(folder) / "graph.npz"
            np.savez(file, allow_pickle=False, x=np.asarray(x), **arrays)
            remote = stack.enter_context(timing.worker(python, TORCH, str(file)))
            found["torch"] = remote.about
        for task in TASKS:
            candidates, notes = {}, {}
            for label, (product, operand) in products.items():
                if task == "learned" and label == BASELINE:
                    continue
                compiled = program(product, operand, x, weights, task)
                y = np.asarray(compiled(operand, x, weights, x)[0])
                expected = y if expected is None else expected
                np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)
                mib = compiled.memory_analysis().temp_size_in_bytes / 2**20
                notes[label] = f"{mib:8.1f} MiB temporary"
                candidates[label] = calibrated(
                    lambda f=compiled, a=operand: f(a, x, weights, x), jax.block_until_ready
                )
            if remote is not None:
                for label, candidate in remote.candidates.items():
                    kind, _, title = label.partition(": ")
                    if kind == task:
                        candidates[title] = candidate
            baseline = BASELINE if BASELINE in candidates else "jraph segment_sum"
            samples = timing.interleaved(candidates, rounds=options.rounds)
            rows = timing.summary(samples, baseline)
            print(f"\n{task} weights, forward and backward")
            print(timing.table(rows, baseline, notes), flush=True)
            found["tasks"][task] = {
                "baseline": baseline,
                "rows": [
                    {**row._asdict(), "temporary": notes.get(row.name, "").strip() or None}
                    for row in rows
                ],
            }
    return found


def main(options: Options) -> None:
    """Measure every graph, print the tables and write the JSON."""
    python = options.torch_python
    if python is None and importlib.util.find_spec("torch") is not None:
        python = sys.executable
    record = {
        **timing.environment(("mmjax", "jax", "jaxlib", "jraph", "numpy")),
        "device": jax.devices()[0].device_kind,
        "width": options.width,
        "rounds": options.rounds,
        "graphs": {name: measure(name, options, python) for name in options.graphs},
    }
    if options.out is not None:
        timing.write_json(options.out, record)


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.propagation"))
