"""From an objective to its best parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
import time

import jax
import jax.numpy as jnp
import optax

from mmjax.objective import Objective, Variables
from mmjax.training.config import FitConfig
from mmjax.training.source import Source
from mmjax.training.state import EVALUATION, TrainState, draw_key, init_state
from mmjax.training.step import run_epochs

Evaluate = Callable[[Any, Any, jax.Array], dict[str, float]]


@dataclass(frozen=True)
class FitResult:
    variables: list[Variables]
    best_epoch: list[int]
    best_metric: list[float]
    history: list[dict[str, float]]
    stopped_because: str
    seconds_per_epoch: float


def fit(
    objective: Objective,
    source: Source,
    optimiser: optax.GradientTransformation,
    evaluate: Evaluate,
    config: FitConfig,
    *,
    seeds: Sequence[int] = (0,),
    workdir=None,
    run_config=None,
) -> FitResult:
    """Provisional: single device, seeds one after the other, nothing written."""
    history, variables, epochs, metrics, seconds, why = [], [], [], [], [], "epochs"
    run = jax.jit(
        lambda o, s, t: run_epochs(o, optimiser, s, t, 1), donate_argnums=2
    )
    sign = 1 if config.maximise else -1
    for seed in seeds:
        state = jax.jit(lambda o, k: init_state(o, optimiser, k))(objective, jax.random.key(seed))
        best = None
        for epoch in range(1, config.epochs + 1):
            began = time.perf_counter()
            state, m = run(objective, source, state)
            loss = float(m["loss"].mean())
            seconds.append(time.perf_counter() - began)
            record = {"seed": seed, "epoch": epoch, "loss": loss}
            if epoch % config.eval_every == 0 or epoch == config.epochs:
                values = evaluate(state.params, state.extra, draw_key(state.key, EVALUATION, epoch))
                record |= values
                score = sign * values[config.metric]
                if best is None or score > best[0]:
                    best = (score, epoch, jax.tree.map(jnp.copy, {"params": state.params, **state.extra}))
                elif config.patience and epoch - best[1] >= config.patience and epoch >= config.min_epochs:
                    why = "patience"
                    history.append(record)
                    break
            history.append(record)
            if not config.quiet:
                print(record, flush=True)
        variables.append(best[2]); epochs.append(best[1]); metrics.append(sign * best[0])
    return FitResult(variables, epochs, metrics, history, why, sorted(seconds)[len(seconds) // 2])
