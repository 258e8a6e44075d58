"""One training epoch of MIG-GT at the size of Amazon Baby: mmjax against plain PyTorch.

    python -m experiments.benchmarks.mig_gt_epoch [--torch-python PATH] [--data DIR] [--out FILE]

Both sides train with the paper's settings for Baby on the same edges and features, each in a
process of its own, in alternating rounds. DIR holds the real edges as ``interactions.npz`` with
train_user and train_item; without it, as many edges are drawn at random. Features are random.
Speed-ups are medians of the ratios within a round.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments.benchmarks import harness
from experiments.benchmarks.mig_gt_epoch.problem import Problem, problem
from experiments.mig_gt.config import EXPERIMENT
from mmjax.blocks.graphs.graph import bipartite, normalise
from mmjax.blocks.graphs.sparse import operator
from mmjax.models.multimodal import mig_gt
from mmjax.training import optim
from mmjax.training.sources.pairs import pairs_source
from mmjax.training.state import init_state
from mmjax.training.step import run_epochs


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """One training epoch of MIG-GT at the size of Amazon Baby: mmjax against plain PyTorch."""

    rounds: int = 5
    data: Path | None = None
    """Directory with interactions.npz (train_user, train_item, n_users, n_items) of Baby."""
    peers: tuple[Literal["csr", "transposed"], ...] = ("csr",)
    """The peer's ways of propagating."""
    smoke: bool = False
    """Tiny sizes: figures mean nothing."""


class Trainer:
    """mmjax, the way `fit` runs an epoch: one compiled program, the state donated."""

    def __init__(self, inputs: Problem, *, smoke: bool) -> None:
        run = EXPERIMENT.settings(data="amazon_baby", small=smoke)
        edges = bipartite(inputs.pairs, inputs.n_users, inputs.n_items, self_loops=True)
        graph = operator(normalise(edges))
        objective = mig_gt.build_from_graph(
            run.model, inputs.features, graph, inputs.n_users, inputs.n_items
        ).objective
        source = pairs_source(
            inputs.pairs,
            inputs.n_items,
            run.optim.batch_size,
            n_negatives=run.optim.negatives,
        )
        optimiser = optim.optimiser(run.optim, source.steps_per_epoch)
        self.state = jax.jit(lambda o, k: init_state(o, optimiser, k))(objective, jax.random.key(0))

        @partial(jax.jit, donate_argnums=2)
        def epoch(objective: Any, source: Any, state: Any) -> Any:
            return run_epochs(objective, optimiser, source, state, 1)

        compiled = epoch.lower(objective, source, self.state).compile()
        self.temporary_mib = harness.temporary_mib(compiled)
        self._epoch = partial(compiled, objective, source)
        self._rows = len(inputs.pairs)
        self.loss = float("nan")

    def epoch(self) -> None:
        """Train one epoch; `loss` becomes its mean per edge."""
        self.state, metrics = self._epoch(self.state)
        self.loss = float(metrics["loss"].sum()) / self._rows


def measure(inputs: Problem, options: Options) -> dict[str, Any]:
    """Alternate epochs of both sides; without a Python that has torch, of ours alone."""
    ours = Trainer(inputs, smoke=options.smoke)
    clock = harness.clock(options)
    passed = {
        "peers": options.peers,
        "data": str(options.data.resolve()) if options.data else None,
        "smoke": options.smoke,
    }
    with harness.peer(options, __name__, **passed) as peer:
        remote = peer.candidates
        names = [f"torch {way}" for way in options.peers if remote]
        samples = harness.interleaved(
            {"mmjax": harness.timed(ours.epoch, clock=clock)} | {n: remote[n] for n in names},
            rounds=options.rounds,
            warmup=1,
        )
        losses = {"mmjax": ours.loss} | {name: remote[f"{name} loss"]() for name in names}
        memory = {"mmjax": harness.peak_rss_mib()}
        if names:
            memory["torch"] = remote["peak_rss_mib"]()
    own = np.array(samples["mmjax"])
    return {
        **peer.about,
        "seconds": samples,
        "median_ratio_to_mmjax": {n: float(np.median(np.array(samples[n]) / own)) for n in names},
        "loss_of_last_epoch": losses,
        "peak_rss_mib": memory,
        "temporary_mib": ours.temporary_mib,
    }


def main(options: Options) -> None:
    """Measure, print the table, write the JSON."""
    harness.limit_threads(options)
    inputs = problem(options.data, smoke=options.smoke)
    result = measure(inputs, options)
    samples, ratios = result["seconds"], result["median_ratio_to_mmjax"]
    baseline = next(iter(ratios), "mmjax")
    losses = result["loss_of_last_epoch"]
    rows = harness.summary(samples, baseline)
    print(harness.table(rows, baseline, lambda row: f"loss {losses[row.name]:.4f}"))
    for name, ratio in ratios.items():
        print(f"an epoch of mmjax is {ratio:.2f} times as fast as {name}")
    memory = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in result["peak_rss_mib"].items())
    print(f"peak memory: {memory} (a step of mmjax: {result['temporary_mib']:.0f} MiB temporary)")
    about = {
        "source": inputs.source,
        "users": inputs.n_users,
        "items": inputs.n_items,
        "edges": len(inputs.pairs),
        "widths": {k: v.shape[1] for k, v in inputs.features.items()},
    }
    record = {**harness.record(options, ("flax", "optax")), "problem": about, **result}
    harness.write(options, record)
