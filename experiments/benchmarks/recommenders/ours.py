"""Training steps of recommenders against plain PyTorch, and seeds together against one by one.

    python -m experiments.benchmarks.recommenders [--torch-python PATH] [--out FILE]

Both sides train LightGCN, FREEDOM and MMGCN on lastfm_2k with batches of 2,048 pairs and one
negative, each in a process of its own, an epoch at a time in alternating rounds.
"""

import dataclasses
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench.config import preset
from experiments.benchmarks import harness
from experiments.common.config import PairOptim
from experiments.common.interactions import build, build_source
from mmjax.blocks.common.projection import l2_normalise
from mmjax.data import load
from mmjax.data.synthetic.interactions import communities
from mmjax.training import optim
from mmjax.training.sources.pairs import with_draws
from mmjax.training.state import init_state
from mmjax.training.step import per_seed, run_epochs

MODELS = ("light_gcn", "freedom", "mmgcn")
SEEDS = 5


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """Training steps of recommenders: mmjax against plain PyTorch."""

    data: str = "lastfm_2k"
    """Data set."""
    models: tuple[str, ...] = MODELS
    """Which models."""


class Trainer:
    """A model of mmjax, the way `fit` runs an epoch; several seeds as one program.

    With `own` it has the bench's batches and negatives, otherwise 2,048 pairs and one negative.
    """

    def __init__(self, method: str, data: Any, seeds: int = 1, *, own: bool = False) -> None:
        run = preset(method, data.name)
        run = run if own else dataclasses.replace(run, optim=PairOptim())
        objective = build(run, data).objective
        source = with_draws(build_source(run, data), objective.epoch)
        optimiser = optim.optimiser(run.optim, source.steps_per_epoch)
        self.steps = source.steps_per_epoch
        init = jax.jit(lambda o, k: init_state(o, optimiser, k))
        states = [init(objective, jax.random.key(seed)) for seed in range(seeds)]
        self.state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

        @partial(jax.jit, donate_argnums=2)
        def epoch(objective: Any, source: Any, state: Any) -> Any:
            def one(objective: Any, source: Any, state: Any) -> Any:
                return run_epochs(objective, optimiser, source, state, 1)

            return per_seed(one, (None, None, 0), seeds)(objective, source, state)

        compiled = epoch.lower(objective, source, self.state).compile()
        self.temporary_mib = harness.temporary_mib(compiled)
        self.parameters = sum(x.size for x in jax.tree.leaves(self.state.params)) // seeds
        self._epoch = partial(compiled, objective, source)

    def epoch(self) -> None:
        """Train one epoch of every seed."""
        self.state, metrics = self._epoch(self.state)
        metrics["loss"].block_until_ready()


def write_problem(path: Path, data: Any) -> None:
    """Write the arrays that the other process trains on."""
    features = {f"x_{name}": x for name, x in data.features.items()}
    sizes = {"n_users": data.n_users, "n_items": data.n_items}
    np.savez(path, pairs=data.train, **sizes, **features)


def unit_rows(data: Any) -> Any:
    """The data with features of length one, as the models of the bench read them."""
    return data.with_features(
        **{n: np.asarray(l2_normalise(jnp.asarray(x))) for n, x in data.features.items()}
    )


def interactions(name: str) -> Any:
    """The data set of that name; "communities" is synthetic and small."""
    return communities() if name == "communities" else load(name)


def against_torch(name: str, data: Any, peer: harness.Peer, options: Options) -> dict[str, Any]:
    """Seconds of an epoch of both sides."""
    ours = Trainer(name, data)
    candidates = {f"mmjax {name}": harness.timed(ours.epoch, clock=harness.clock(options))}
    if name in peer.candidates:
        candidates[f"torch {name}"] = peer.candidates[name]
    compared = harness.compare(
        candidates,
        rounds=options.rounds,
        note=lambda row: f"{1e3 * ours.steps / row.median_ms:.0f} steps/s",
    )
    speed_up = compared.speed_up[f"mmjax {name}"]
    return {"steps": ours.steps, "seconds": compared.seconds, "speed_up": speed_up}


def together(name: str, data: Any, options: Options) -> dict[str, Any]:
    """Seconds of an epoch of several seeds, as one program and one after the other."""
    one, all_seeds = Trainer(name, data), Trainer(name, data, SEEDS)

    def one_by_one() -> None:
        for _ in range(SEEDS):
            one.epoch()

    vmapped, clock = f"{name}, {SEEDS} seeds together", harness.clock(options)
    candidates = {
        vmapped: harness.timed(all_seeds.epoch, clock=clock),
        f"{name}, {SEEDS} seeds one by one": harness.timed(one_by_one, clock=clock),
    }
    compared = harness.compare(candidates, rounds=options.rounds)
    return {"seconds": compared.seconds, "speed_up": compared.speed_up[vmapped]}


def main(options: Options) -> None:
    """Measure, print the tables, write the JSON."""
    harness.limit_threads(options)
    data = unit_rows(interactions(options.data))
    with ExitStack() as stack:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "problem.npz"
        write_problem(file, data)
        peer = stack.enter_context(harness.peer(options, __name__, problem=str(file)))
        models = {name: against_torch(name, data, peer, options) for name in options.models}
    record = {
        **harness.record(options, ("flax", "optax")),
        **peer.about,
        "data": repr(data),
        "models": models,
        "seeds": {name: together(name, data, options) for name in options.models},
    }
    harness.write(options, record)
