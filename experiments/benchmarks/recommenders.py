"""Training steps of recommenders against plain PyTorch, and seeds together against one by one.

    python -m experiments.benchmarks.recommenders [--torch-python PATH] [--out FILE]

Both sides train LightGCN, FREEDOM and MMGCN on lastfm_2k with batches of 2,048 pairs and one
negative, each in a process of its own, an epoch at a time in alternating rounds.
"""

import argparse
import dataclasses
import importlib.util
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import timing

PEER = "experiments.benchmarks.torch_recommenders"
MODELS = ("light_gcn", "freedom", "mmgcn")
SEEDS = 5


class Ours:
    """A model of mmjax, the way `fit` runs an epoch; several seeds as one program.

    With `own` it has the bench's batches and negatives, otherwise 2,048 pairs and one negative.
    """

    def __init__(self, method: str, data: Any, seeds: int = 1, *, own: bool = False) -> None:
        import jax
        import jax.numpy as jnp

        from experiments.bench.presets import preset
        from experiments.common.config import Optim
        from experiments.common.problem import build_model, build_optimiser, build_source
        from mmjax.training.sources.pairs import with_draws
        from mmjax.training.state import init_state
        from mmjax.training.step import per_seed, run_epochs

        run = preset(method, data.name)
        run = run if own else dataclasses.replace(run, optim=Optim())
        objective = build_model(run, data).objective
        source = with_draws(build_source(run, data), objective.epoch)
        optimiser = build_optimiser(run.optim, source.steps_per_epoch)
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
        memory = compiled.memory_analysis()
        self.temporary_mib = 0.0 if memory is None else memory.temp_size_in_bytes / 2**20
        self.parameters = sum(x.size for x in jax.tree.leaves(self.state.params)) // seeds
        self._epoch = partial(compiled, objective, source)

    def epoch(self) -> None:
        """Train one epoch of every seed."""
        self.state, metrics = self._epoch(self.state)
        metrics["loss"].block_until_ready()


def write_problem(path: Path, data: Any) -> None:
    """What the other process trains on."""
    features = {f"x_{name}": x for name, x in data.features.items()}
    sizes = {"n_users": data.n_users, "n_items": data.n_items}
    np.savez(path, pairs=data.train, **sizes, **features)


def unit_rows(data: Any) -> Any:
    """The data with features of length one, as the models of the bench read them."""
    from mmjax.blocks.common.projection import l2_normalise

    return data.with_features(**{n: np.asarray(l2_normalise(x)) for n, x in data.features.items()})


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch-python", help="Python with PyTorch; default this one, if it has")
    parser.add_argument("--data", default="lastfm_2k")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON to write")
    flags = parser.parse_args()

    from mmjax.data.load import load
    from mmjax.data.synthetic.interactions import communities

    data = communities() if flags.data == "communities" else load(flags.data)
    data = unit_rows(data)
    python = flags.torch_python
    if python is None and importlib.util.find_spec("torch") is not None:
        python = sys.executable
    found: dict[str, Any] = {"data": repr(data), "models": {}, "seeds": {}}
    with ExitStack() as stack:
        remote, about = {}, {}
        if python is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            write_problem(Path(folder) / "problem.npz", data)
            worker = stack.enter_context(timing.worker(python, PEER, f"{folder}/problem.npz"))
            remote, about = worker.candidates, worker.about
        for name in flags.models:
            found["models"][name] = against_torch(name, data, remote, flags.rounds)
    for name in flags.models:
        found["seeds"][name] = together(name, data, flags.rounds)
    if flags.out is not None:
        environment = timing.environment(("jax", "jaxlib", "flax", "optax", "numpy"))
        timing.write_json(flags.out, {**environment, **about, **found})


def against_torch(name: str, data: Any, remote: Any, rounds: int) -> dict[str, Any]:
    """Seconds of an epoch of both sides."""
    ours = Ours(name, data)
    candidates = {f"mmjax {name}": timing.timed(ours.epoch)}
    if name in remote:
        candidates[f"torch {name}"] = remote[name]
    samples = timing.interleaved(candidates, rounds=rounds, warmup=1)
    baseline = list(candidates)[-1]
    rows = timing.summary(samples, baseline)
    notes = {r.name: f"{1e3 * ours.steps / r.median_ms:.0f} steps/s" for r in rows}
    print(f"\n{timing.table(rows, baseline, notes)}", flush=True)
    return {"steps": ours.steps, "seconds": samples, "speed_up": rows[0].speedup}


def together(name: str, data: Any, rounds: int) -> dict[str, Any]:
    """Seconds of an epoch of several seeds, as one program and one after the other."""
    one, all_seeds = Ours(name, data), Ours(name, data, SEEDS)

    def one_by_one() -> None:
        for _ in range(SEEDS):
            one.epoch()

    candidates = {
        f"{name}, {SEEDS} seeds together": timing.timed(all_seeds.epoch),
        f"{name}, {SEEDS} seeds one by one": timing.timed(one_by_one),
    }
    samples = timing.interleaved(candidates, rounds=rounds, warmup=1)
    baseline = list(candidates)[1]
    rows = timing.summary(samples, baseline)
    print(f"\n{timing.table(rows, baseline)}", flush=True)
    speed_up = next(r.speedup for r in rows if r.name != baseline)
    return {"seconds": samples, "speed_up": speed_up}


if __name__ == "__main__":
    main()
