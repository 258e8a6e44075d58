"""One training epoch of MIG-GT at the size of Amazon Baby: mmjax against plain PyTorch.

    python -m experiments.benchmarks.mig_gt_epoch [--torch-python PATH] [--data DIR] [--out FILE]

Both sides train with the paper's settings for Baby on the same edges and features, each in a
process of its own, in alternating rounds. DIR holds the real edges as ``interactions.npz`` with
train_user and train_item; without it, as many edges are drawn at random. Features are random.
Speed-ups are medians of the ratios within a round.
"""

import argparse
import importlib.util
import resource
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import timing

PEER = "experiments.benchmarks.torch_mig_gt_epoch"
PROPAGATIONS = ("csr", "transposed")


class Problem(NamedTuple):
    """What both sides train on."""

    pairs: np.ndarray
    """int32[e, 2] user and item of every train edge, each once."""
    n_users: int
    n_items: int
    features: dict[str, np.ndarray]
    """float32[i, d]; the image features are not projected yet."""
    source: str


def problem(data: Path | None, *, smoke: bool = False) -> Problem:
    """Amazon Baby's sizes; its edges from `data`, else drawn with items of unequal popularity."""
    draw = np.random.default_rng(0)
    n_users, n_items, n_edges, widths = 19_445, 7_050, 118_551, {"text": 384, "image": 4096}
    if smoke:
        n_users, n_items, n_edges, widths = 300, 120, 2_000, {"text": 16, "image": 32}
    if data is not None and not smoke:
        with np.load(data / "interactions.npz") as file:
            pairs = np.stack([file["train_user"], file["train_item"]], axis=1)
            n_users, n_items = int(file["n_users"]), int(file["n_items"])
        source = "edges of interactions.npz"
    else:
        popularity = 1 / (10 + np.arange(n_items))
        items = draw.choice(n_items, size=2 * n_edges, p=popularity / popularity.sum())
        users = draw.integers(n_users, size=len(items))
        flat = draw.permutation(np.unique(users * n_items + items))[:n_edges]
        pairs, source = np.stack(np.divmod(flat, n_items), axis=1), "synthetic edges"
    features = {
        name: draw.standard_normal((n_items, width), np.float32) for name, width in widths.items()
    }
    return Problem(pairs.astype(np.int32), n_users, n_items, features, source)


def peak_rss_mib() -> float:
    """Most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


class Ours:
    """mmjax, the way `fit` runs an epoch: one compiled program, the state donated."""

    def __init__(self, given: Problem, *, smoke: bool) -> None:
        import jax

        from experiments.common.problem import build_optimiser, shrink
        from experiments.mig_gt.presets import preset
        from mmjax.blocks.graphs.graph import bipartite, normalise
        from mmjax.blocks.graphs.sparse import operator
        from mmjax.models.multimodal import mig_gt
        from mmjax.training.sources.pairs import pairs_source
        from mmjax.training.state import init_state
        from mmjax.training.step import run_epochs

        run = preset("mig_gt", "amazon_baby")
        run = shrink(run) if smoke else run
        edges = bipartite(given.pairs, given.n_users, given.n_items, self_loops=True)
        graph = operator(normalise(edges))
        objective = mig_gt.build_from_graph(
            run.model, given.features, graph, given.n_users, given.n_items
        ).objective
        source = pairs_source(
            given.pairs,
            given.n_items,
            run.optim.batch_size,
            n_negatives=run.optim.negatives,
        )
        optimiser = build_optimiser(run.optim, source.steps_per_epoch)
        self.state = jax.jit(lambda o, k: init_state(o, optimiser, k))(objective, jax.random.key(0))

        @partial(jax.jit, donate_argnums=2)
        def epoch(objective: Any, source: Any, state: Any) -> Any:
            return run_epochs(objective, optimiser, source, state, 1)

        compiled = epoch.lower(objective, source, self.state).compile()
        memory = compiled.memory_analysis()
        self.temporary_mib = 0.0 if memory is None else memory.temp_size_in_bytes / 2**20
        self._epoch = partial(compiled, objective, source)
        self._rows = len(given.pairs)
        self.loss = float("nan")

    def epoch(self) -> None:
        """Train one epoch; `loss` becomes its mean per edge."""
        self.state, metrics = self._epoch(self.state)
        self.loss = float(metrics["loss"].sum()) / self._rows


def measure(given: Problem, arguments: argparse.Namespace) -> dict[str, Any]:
    """Alternate epochs of both sides; without a Python that has torch, of ours alone."""
    ours = Ours(given, smoke=arguments.smoke)
    candidates = {"mmjax": timing.timed(ours.epoch)}
    python = arguments.torch_python
    if python is None and importlib.util.find_spec("torch") is not None:
        python = sys.executable
    forward = ["--peers", *arguments.peers]
    forward += ["--data", str(arguments.data.resolve())] if arguments.data else []
    forward += ["--smoke"] if arguments.smoke else []
    with ExitStack() as stack:
        peers, about, remote = [], {}, {}
        if python is not None:
            worker = stack.enter_context(timing.worker(python, PEER, *forward))
            about, remote = worker.about, worker.candidates
            peers = [f"torch {how}" for how in arguments.peers]
        samples = timing.interleaved(
            candidates | {name: remote[name] for name in peers},
            rounds=arguments.rounds,
            warmup=1,
            progress=lambda text: print(text, file=sys.stderr),
        )
        losses = {"mmjax": ours.loss} | {name: remote[f"{name} loss"]() for name in peers}
        memory = {"mmjax": peak_rss_mib()}
        if peers:
            memory["torch"] = remote["peak_rss_mib"]()
    mine = np.array(samples["mmjax"])
    return {
        **about,
        "seconds": samples,
        "median_ratio_to_mmjax": {n: float(np.median(np.array(samples[n]) / mine)) for n in peers},
        "loss_of_last_epoch": losses,
        "peak_rss_mib": memory,
        "temporary_mib": ours.temporary_mib,
    }


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    given = problem(arguments.data, smoke=arguments.smoke)
    found = measure(given, arguments)
    samples, ratios = found["seconds"], found["median_ratio_to_mmjax"]
    baseline = next(iter(ratios), "mmjax")
    notes = {name: f"loss {loss:.4f}" for name, loss in found["loss_of_last_epoch"].items()}
    print(timing.table(timing.summary(samples, baseline), baseline, notes))
    for name, ratio in ratios.items():
        print(f"an epoch of mmjax is {ratio:.2f} times as fast as {name}")
    memory = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in found["peak_rss_mib"].items())
    print(f"peak memory: {memory} (a step of mmjax: {found['temporary_mib']:.0f} MiB temporary)")
    if arguments.out is not None:
        about = {
            "source": given.source,
            "users": given.n_users,
            "items": given.n_items,
            "edges": len(given.pairs),
            "widths": {k: v.shape[1] for k, v in given.features.items()},
        }
        environment = timing.environment(("jax", "jaxlib", "flax", "optax", "numpy"))
        timing.write_json(arguments.out, {**environment, "problem": about, **found})


def arguments_of_problem(description: str | None) -> argparse.ArgumentParser:
    """The flags that both processes share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="directory with interactions.npz")
    parser.add_argument("--peers", nargs="+", default=["csr"], choices=PROPAGATIONS)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: figures mean nothing")
    return parser


def _arguments() -> argparse.Namespace:
    parser = arguments_of_problem((__doc__ or "").splitlines()[0])
    parser.add_argument("--torch-python", help="Python with PyTorch; default this one, if it has")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
