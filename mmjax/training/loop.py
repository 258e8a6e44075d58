"""The loop of a run: steps, evaluation, selection, records; what `fit` drives."""

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from mmjax.errors import UserError
from mmjax.objective import Objective, Params, State, Variables
from mmjax.training.checkpoints import CheckpointError
from mmjax.training.config import FitConfig
from mmjax.training.naming import Arrays, unnamed
from mmjax.training.parallel import Cost, Devices, local
from mmjax.training.processes import any_process, on_first
from mmjax.training.progress import Progress, Record
from mmjax.training.recorder import Recorder
from mmjax.training.selection import observe
from mmjax.training.signals import StopRequest
from mmjax.training.sources.pairs import BatchSource, EpochPlan
from mmjax.training.state import EVALUATION, TrainState, draw_key, init_state
from mmjax.training.step import per_seed, run_steps, split_epoch, start_epoch

Evaluate = Callable[[Params, State, Array], dict[str, float]]
"""``evaluate(params, extra, key)``: metrics on validation data of one seed, never on test data."""


class Hooks(NamedTuple):
    """Functions of the user's own, run in the first process; what they raise ends the run."""

    on_epoch: Callable[[Record], None] | None = None
    """``on_epoch(record)``, once for each epoch and seed, with what metrics.jsonl keeps of it."""
    on_evaluation: Callable[[Variables, dict[str, float]], None] | None = None
    """``on_evaluation(variables, metrics)``, after each evaluation of a seed on validation data;
    beside the metrics stand its `epoch` and `seed`."""


NO_HOOKS = Hooks()


class TrainingDiverged(UserError):
    """The loss, or the metric that selects, is not a finite number."""


class Loop:
    """The arrays of a run and its progress, from one call of the devices to the next."""

    def __init__(
        self,
        objective: Objective,
        source: BatchSource,
        optimiser: optax.GradientTransformation,
        evaluate: Evaluate | None,
        config: FitConfig,
        *,
        seeds: tuple[int, ...],
        devices: Devices,
        recorder: Recorder,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        """Start from what the recorder holds, or from the beginning."""
        self.optimiser, self.evaluate, self.config = optimiser, evaluate, config
        self.devices, self.recorder, self.hooks = devices, recorder, hooks
        self.steps_per_epoch = source.steps_per_epoch

        def initial() -> TrainState:
            init = jax.jit(lambda o, key: init_state(o, optimiser, key))
            states = [init(objective, jax.random.key(seed)) for seed in seeds]
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

        restored = recorder.restore()
        if restored is None:
            self.progress = Progress.start(seeds)
            state = initial()
            best = jax.tree.map(jnp.copy, _variables(state))
        else:
            self.progress = restored.progress
            if self.progress.stopped_because == "epochs" and config.epochs > self._last():
                self.progress.stopped_because = ""  # the run is to have more epochs now
            like = jax.eval_shape(initial)
            state = _fitted(restored.state, like)
            best = _fitted(restored.best, _variables(like))
        self.step = int(np.asarray(state.step)[0])
        self.objective: Objective = devices.replicate(objective)
        self.source: BatchSource = devices.replicate(source)
        self.state: TrainState = devices.replicate(state)
        self.best: Variables = devices.replicate(best)
        self.temporary_bytes = 0
        self._plan: EpochPlan = None
        self._pending: deque[tuple[int, int, dict[str, Array]]] = deque()
        self._mark = self._began = time.perf_counter()
        if evaluate is not None and not config.metric:
            found = on_first(lambda: sorted(self._values(0, 0)))
            raise ValueError(
                "FitConfig.metric is empty: name the validation metric that selects the best "
                f"parameters, one of {found}"
            )

    def _last(self) -> int:
        """The last epoch that was trained whole."""
        return max((r["epoch"] for r in self.progress.history), default=0)

    def run(self, stop: StopRequest) -> str:
        """Train to the end or to a request to stop; returns why it ended."""
        self.recorder.open(self.progress)
        self._compile()
        self._mark = time.perf_counter()
        while True:
            epoch, first = divmod(self.step, self.steps_per_epoch)
            if first == 0 and epoch > self.progress.evaluated and self._due(epoch):
                self._flush()
                self._evaluate(epoch)
                done = self._finished(epoch)
                self._record(save=bool(done))
                if done:
                    return done
            if any_process(stop.requested):
                self._flush()
                self._record(save=True)
                return "signal"
            self._advance(first)

    def best_variables(self) -> list[Variables]:
        """The best parameters and collections of each seed, on one device."""
        best = local(self.best)
        return [_take(best, s) for s in range(len(self.progress.seeds))]

    def final_state(self) -> TrainState:
        """The state now, with its leading axis of seeds, on one device."""
        return local(self.state)

    def _compile(self) -> None:
        seeds, steps = len(self.progress.seeds), self.steps_per_epoch
        self._n = n = split_epoch(steps, self.config.steps_per_call)
        # A run that was stopped within an epoch may go on with calls of another length.
        ragged = steps % n != 0 or self.step % steps % n != 0

        def call(*args: Any, rows: Any, axis: str | None) -> Any:
            def one(objective: Any, source: Any, state: Any, plan: Any, first: Any) -> Any:
                options = {"n_steps": n, "ragged": ragged, "rows": rows, "axis": axis}
                return run_steps(objective, self.optimiser, source, state, plan, first, **options)

            return per_seed(one, (None, None, 0, 0, None), seeds)(*args)

        self._start = self.devices.jit(per_seed(start_epoch, (None, 0), seeds))
        self._keep = self.devices.jit(_keep, donate=(0,))
        self._plan = self._start(self.source, self.state)
        program = self.devices.data_parallel(call, donate=(2,))
        self._call, cost = program.compile(
            self.objective, self.source, self.state, self._plan, np.int32(0)
        )
        self.temporary_bytes = cost.temporary_bytes
        self.recorder.line(self._describe(cost))

    def _describe(self, cost: Cost) -> str:
        mesh, seeds = self.devices.mesh, len(self.progress.seeds)
        kind = mesh.devices.flat[0].device_kind
        parameters = sum(x.size for x in jax.tree.leaves(self.state.params)) // seeds
        where = (
            f"{mesh.size} x {kind} ({self.devices.mode}), {jax.process_count()} process(es), "
            f"{seeds} seed(s), {parameters:,} parameters, {self.steps_per_epoch} steps/epoch"
        )
        resumed = f", resumed at step {self.step}" if self.step else ""
        if not cost.seconds:
            return f"{where}{resumed}; compiles at its first step"
        return (
            f"{where}{resumed}; compiled in {cost.seconds:.1f} s; a step: "
            f"{cost.flops / 1e9:.3g} GFLOP (inner loops counted once), "
            f"{cost.temporary_bytes / 2**20:.1f} MiB temporary"
        )

    def _advance(self, first: int) -> None:
        if first == 0:
            self._plan = self._start(self.source, self.state)
        self.state, metrics = self._call(
            self.objective, self.source, self.state, self._plan, np.int32(first)
        )
        n = min(self._n, self.steps_per_epoch - first)
        self.step += n
        self._pending.append((self.step, n, metrics))
        # One call stays in flight, so that the devices do not wait for the host.
        if len(self._pending) > 1:
            self._fetch()

    def _flush(self) -> None:
        while self._pending:
            self._fetch()

    def _fetch(self) -> None:
        step, n, metrics = self._pending.popleft()
        values = {k: np.asarray(m)[:, :n] for k, m in local(metrics).items()}
        self._check(step - n, values)
        self.progress.add(values)
        epoch, rest = divmod(step, self.steps_per_epoch)
        if rest == 0:
            now = time.perf_counter()
            seconds, self._mark = now - self._mark, now
            self._clock()
            self.progress.close_epoch(epoch, step, seconds)
            if not self._due(epoch):
                self._report(epoch)
        active = self.progress.active
        self.recorder.show(epoch, float(values["loss"][active].mean()), self.progress)

    def _check(self, before: int, values: dict[str, np.ndarray]) -> None:
        bad = ~np.isfinite(values["loss"]) & self.progress.active[:, None]
        if not bad.any():
            return
        s, i = np.argwhere(bad)[np.argwhere(bad)[:, 1].argmin()]
        others = [k for k, m in values.items() if k != "loss" and not np.isfinite(m[s, i])]
        also = f" (and so are {', '.join(others)})" if others else ""
        step = before + int(i) + 1
        epoch = -(-step // self.steps_per_epoch)
        raise self._diverged(int(s), epoch, f"loss is {values['loss'][s, i]}{also} at step {step}")

    def _diverged(self, s: int, epoch: int, what: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"seed {self.progress.seeds[s]}, epoch {epoch}: {what}; last good checkpoint: "
            f"{self.recorder.last_good()}. A lower learning rate or gradient clipping may help; "
            "JAX_DEBUG_NANS=1 shows the operation."
        )

    def _due(self, epoch: int) -> bool:
        return epoch % self.config.eval_every == 0 or epoch >= self.config.epochs

    def _evaluate(self, epoch: int) -> None:
        before = self.progress.selection
        active = [int(s) for s in np.flatnonzero(self.progress.active)]
        values = on_first(lambda: [self._values(s, epoch) for s in active])
        improved = np.zeros(len(before), bool)
        after = list(before)
        for s, found in zip(active, values, strict=True):
            metric = self._metric(found)
            if metric is not None and not math.isfinite(metric):
                raise self._diverged(s, epoch, f"{self.config.metric} is {metric}")
            after[s] = observe(before[s], epoch, metric, self.config)
            improved[s] = after[s].best_epoch == epoch
            clean = {k: v if math.isfinite(v) else None for k, v in found.items()}
            seed = self.progress.seeds[s]
            self.progress.record(seed, epoch, clean | {"best": bool(improved[s])})
        self.progress.selection, self.progress.evaluated = after, epoch
        if improved.any():
            self.best = self._keep(self.best, _variables(self.state), improved)
        self._report(epoch)

    def _values(self, s: int, epoch: int) -> dict[str, float]:
        if self.evaluate is None:
            return {}
        state = self.state
        params, extra, key = _take(local((state.params, state.extra, state.key)), s)
        metrics = self.evaluate(params, extra, draw_key(key, EVALUATION, epoch))
        values = {name: float(value) for name, value in metrics.items()}
        if self.hooks.on_evaluation is not None and epoch:
            place = {"epoch": epoch, "seed": self.progress.seeds[s]}
            self.hooks.on_evaluation({"params": params, **extra}, {**place, **values})
        return values

    def _report(self, epoch: int) -> None:
        hook = self.hooks.on_epoch
        if hook is None:
            return

        def call() -> None:
            for record in self.progress.history[-len(self.progress.seeds) :]:
                if record["epoch"] == epoch:
                    hook(dict(record))

        on_first(call)

    def _metric(self, values: dict[str, float]) -> float | None:
        if self.evaluate is None:
            return None
        if self.config.metric not in values:
            raise ValueError(
                f"metric {self.config.metric!r} is not among those evaluated: {sorted(values)}"
            )
        return values[self.config.metric]

    def _finished(self, epoch: int) -> str:
        if not self.progress.active.any():
            self.progress.stopped_because = "patience"
        elif epoch >= self.config.epochs:
            self.progress.stopped_because = "epochs"
        return self.progress.stopped_because

    def _record(self, *, save: bool) -> None:
        self._clock()
        self.recorder.write(self.progress, self.state, self.best, save=save)
        self._mark = time.perf_counter()

    def _clock(self) -> None:
        now = time.perf_counter()
        self.progress.elapsed += now - self._began
        self._began = now


def _variables(state: TrainState) -> Variables:
    return {"params": state.params, **state.extra}


def _keep(best: Variables, new: Variables, improved: Array) -> Variables:
    def choose(old: Array, x: Array) -> Array:
        return jnp.where(improved.reshape((-1,) + (1,) * (x.ndim - 1)), x, old)

    return jax.tree.map(choose, best, new)


@partial(jax.jit, static_argnums=1)
def _take(tree: Any, s: int) -> Any:
    return jax.tree.map(lambda x: x[s], tree)


def _fitted(arrays: Arrays, like: Any) -> Any:
    try:
        return unnamed(arrays, like)
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint was written by another model or optimiser:\n  {error}"
        ) from error
