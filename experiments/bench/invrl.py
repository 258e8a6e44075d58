"""All stages of InvRL for every seed, and the record of the last one.

`run` has the signature and the result of `experiments.common.run.run`, which for this method would
train the recommender on all content, the first stage alone (UltraGCN with content). It saves what
it needs below the run's workdir, and the same call goes on from there.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.common.config import Run
from experiments.common.grouped import grouped_source
from experiments.common.problem import build_optimiser, build_task, load_data, shrink
from experiments.common.run import run as run_one
from experiments.common.seeds import Interrupted, Outcome, joined
from mmjax.blocks.losses.invariance import gates
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.interactions import Interactions
from mmjax.data.io.files import atomic_path
from mmjax.models.common.task import Task
from mmjax.models.multimodal.invrl import stages
from mmjax.models.multimodal.invrl.objective import InvRLConfig, final_config
from mmjax.objective import Objective
from mmjax.training.fit import fit
from mmjax.training.sources.pairs import Source

_SMOKE = {
    "environments": 3,
    "rounds": 1,
    "environment_epochs": 1,
    "repetitions": 1,
    "mask_epochs": 2,
}


def run(
    config: Run[InvRLConfig], *, data: Interactions | None = None, test: bool = True
) -> Outcome:
    """Pretrain, learn the mask, train with the mask, for one seed after the other.

    The mask is learned from training pairs alone; validation selects the epoch of the first and
    of the last training. The record is that of the last training; its seconds leave out the
    others.

    Args:
        config: what to run, as for `experiments.common.run.run`.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone.

    Raises:
        Interrupted: SIGTERM or SIGINT came; finished stages are not repeated by the same call.
    """
    data = load_data(config) if data is None else data
    if config.smoke:
        config = dataclasses.replace(shrink(config), smoke=False)
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, **_SMOKE))
    outcomes = []
    for seed in config.seed_list():
        folder = config.workdir and config.workdir / f"invrl_{seed}"
        single = dataclasses.replace(config, seed=seed, seeds=1, workdir=folder)
        mask = learn_mask(single, data)
        final = dataclasses.replace(
            single,
            model=dataclasses.replace(final_config(single.model), normalise=False),
            workdir=folder and folder / "final",
        )
        outcomes.append(run_one(final, data=masked(single, data, mask), test=test))
    digest = outcomes[0].record.config["data_digest"]
    return joined(outcomes, config.identity() | {"data_digest": digest})


def learn_mask(config: Run[InvRLConfig], data: Interactions) -> Float[np.ndarray, "c"]:
    """The weight of every content feature in [0, 1], for the one seed of `config`.

    Kept in the run's workdir, if it has one, and read from there.

    Raises:
        Interrupted: a signal came.
    """
    path = config.workdir and config.workdir / f"mask_{config.digest()}.npy"
    if path and path.exists():
        return np.load(path, allow_pickle=False)
    first = dataclasses.replace(config, workdir=config.workdir and config.workdir / "pretrained")
    pretrained = run_one(first, data=data, test=False).variables[0]["params"]
    task, c = build_task(config, data), config.model
    fixed = stages.pretrained(c, task, pretrained)
    unseen = negative_index(task.train, *task.sizes, "train")
    rng = np.random.default_rng(config.seed)
    mask = np.zeros(fixed.content.shape[1], np.float32)
    for repetition in range(c.repetitions):
        group = rng.integers(0, c.environments, len(task.train)).astype(np.int32)
        for _ in range(c.rounds):
            source = _source(config, task, group, unseen, again=False)
            objective = stages.environments(c, fixed, jnp.asarray(mask))
            params = _train(config, objective, source, c.environment_epochs, rng)
            new = np.asarray(_assign(fixed, params, task.train))
            share, group = float((new != group).mean()), new
            if share <= c.moved:
                break
        source = _source(config, task, group, unseen, again=True)
        objective = stages.mask_learning(c, fixed, repetition)
        params = _train(config, objective, source, c.mask_epochs, rng)
        mask = np.asarray(gates(params["gate"]), np.float32)
    if path:
        with atomic_path(path) as unfinished, Path(unfinished).open("wb") as file:
            np.save(file, mask)
    return mask


def masked(
    config: Run[InvRLConfig], data: Interactions, mask: Float[np.ndarray, "c"]
) -> Interactions:
    """`data` whose features are those that the model reads, times the mask.

    A model with ``normalise=False`` on them is the model with the mask on the features of `data`.
    """
    content = build_task(config, data).content(
        config.model.modalities, normalise=config.model.normalise
    )
    features, first = {}, 0
    for name, x in content.items():
        last = first + x.shape[1]
        features[name] = np.asarray(x, np.float32) * mask[None, first:last]
        first = last
    return dataclasses.replace(data, features=features)


_assign = jax.jit(stages.best_environment)


def _source(
    config: Run[InvRLConfig], task: Task, group: np.ndarray, unseen: Any, *, again: bool
) -> Source:
    return grouped_source(
        np.asarray(task.train),
        group,
        config.model.environments,
        config.optim.batch_size,
        unseen,
        negatives=config.optim.negatives,
        again=again,
    )


def _train(
    config: Run[InvRLConfig],
    objective: Objective,
    source: Source,
    epochs: int,
    rng: np.random.Generator,
) -> Any:
    """The last parameters after some epochs, from a fresh start."""
    quiet = dataclasses.replace(
        config.fit, epochs=epochs, eval_every=epochs, patience=0, quiet=True, tensorboard=False
    )
    optimiser = build_optimiser(config.optim, source.steps_per_epoch)
    seed = int(rng.integers(2**31))
    result = fit(objective, source, optimiser, None, quiet, seeds=(seed,))
    if result.stopped_because == "signal":
        raise Interrupted("stopped by a signal; the same command resumes")
    return result.variables[0]["params"]
