"""The stages of InvRL for every seed, and the record of the last one.

`run` has the signature and the result of `interactions.run_method`, which for this method would
train the recommender on all content, the first stage alone (UltraGCN with content).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.common.config import Run
from experiments.common.interactions import load_data, setup, task_of
from mmjax.blocks.losses.invariance import gates
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.interactions import Interactions
from mmjax.errors import user_errors
from mmjax.models.multimodal.invrl import stages
from mmjax.models.multimodal.invrl.objective import InvRLConfig, final_config
from mmjax.objective import Objective, Params
from mmjax.training.fitting import FitResult
from mmjax.training.optim import optimiser
from mmjax.training.pipeline import Pipeline, pipelines
from mmjax.training.seeds import (
    RunResult,
    TrainingSetup,
    identity,
    merge_seeds,
    run_result,
    validation,
)
from mmjax.training.sources.grouped import grouped_source


def run(
    config: Run[InvRLConfig], *, data: Interactions | None = None, test: bool = True
) -> RunResult:
    """Pretrain, learn the mask, train with the mask, for one seed after the other.

    The mask is learned from training pairs alone; validation selects the epoch of the first and
    of the last training. The record is that of the last training; its seconds leave out the
    others. With a workdir the stages are kept there and the same call goes on from them.

    Args:
        config: what to run, as for `interactions.run_method`.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone.

    Raises:
        UserError: the data are missing or broken, or lack a modality.
        Interrupted: SIGTERM or SIGINT came; the same call resumes.
    """
    with user_errors():
        data = load_data(config) if data is None else data
        setup(config, data)
    whole = identity(config, data)
    results = []
    for pipeline in pipelines(config.workdir, config.seed_list(), identity=whole):
        single = dataclasses.replace(config, seed=pipeline.seed, seeds=1)
        mask = learn_mask(pipeline, single, data)
        model = dataclasses.replace(final_config(single.model), normalise=False)
        final = dataclasses.replace(single, model=model)
        prepared = setup(final, masked(single, data, mask))
        trained = _select(pipeline, "final", prepared, {"mask": mask})
        results.append(run_result(final, prepared, [trained], test=test))
    return merge_seeds(results, whole)


def learn_mask(
    pipeline: Pipeline, config: Run[InvRLConfig], data: Interactions
) -> Float[np.ndarray, "c"]:
    """The weight of every content feature in [0, 1], for the one seed of `config`.

    Raises:
        Interrupted: a signal came.
    """
    first = _select(pipeline, "pretrained", setup(config, data))
    task, c = task_of(data, config.dtype), config.model
    fixed = stages.pretrained(c, task, first.variables[0]["params"])
    unseen = negative_index(task.train, *task.sizes, "train")
    rng = np.random.default_rng(config.seed)
    mask = np.zeros(fixed.content.shape[1], np.float32)

    def train(
        name: str, objective: Objective, epochs: int, group: np.ndarray, *, again: bool
    ) -> Params:
        """The last parameters after some epochs on the groups, from a fresh start."""
        source = grouped_source(
            np.asarray(task.train),
            group,
            c.environments,
            config.optim.batch_size,
            unseen,
            negatives=config.optim.negatives,
            again=again,
        )
        length = dataclasses.replace(
            config.fit, epochs=epochs, eval_every=epochs, patience=0, quiet=True, tensorboard=False
        )
        result = pipeline.train(
            name,
            objective,
            source,
            optimiser(config.optim, source.steps_per_epoch, epochs=epochs),
            settings=None,
            config=length,
            inputs={"pretrained": first, "group": group, "mask": mask},
            seed=int(rng.integers(2**31)),
        )
        return result.variables[0]["params"]

    for repetition in range(c.repetitions):
        group = rng.integers(0, c.environments, len(task.train)).astype(np.int32)
        for n in range(c.rounds):
            objective = stages.environments(c, fixed, jnp.asarray(mask))
            name = f"environments_{repetition}_{n}"
            params = train(name, objective, c.environment_epochs, group, again=False)
            new = np.asarray(_assign(fixed, params, task.train))
            share, group = float((new != group).mean()), new
            if share <= c.moved:
                break
        objective = stages.mask_learning(c, fixed, repetition)
        params = train(f"mask_{repetition}", objective, c.mask_epochs, group, again=True)
        mask = np.asarray(gates(params["gate"]), np.float32)
    return mask


def masked(
    config: Run[InvRLConfig], data: Interactions, mask: Float[np.ndarray, "c"]
) -> Interactions:
    """`data` whose features are those that the model reads, times the mask.

    A model with ``normalise=False`` on them is the model with the mask on the features of `data`.
    """
    content = task_of(data, config.dtype).content(
        config.model.modalities, normalise=config.model.normalise
    )
    features, first = {}, 0
    for name, x in content.items():
        last = first + x.shape[1]
        features[name] = np.asarray(x, np.float32) * mask[None, first:last]
        first = last
    return dataclasses.replace(data, features=features)


_assign = jax.jit(stages.best_environment)


def _select(pipeline: Pipeline, name: str, prepared: TrainingSetup, inputs: Any = ()) -> FitResult:
    """A stage that is trained until it no longer improves on validation."""
    return pipeline.train(
        name,
        prepared.objective,
        prepared.source,
        prepared.optimiser,
        settings=None,
        validate=validation(prepared),
        config=prepared.fit,
        inputs=inputs,
    )
