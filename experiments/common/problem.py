"""From flags to the parts of a run: data, model, source of batches, optimiser."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax

from experiments.common.config import Adam, Run
from experiments.common.methods import METHODS
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.interactions import Interactions
from mmjax.data.core.source import NAMES, get_source
from mmjax.data.formats.mmrec import load_mmrec
from mmjax.data.load import load
from mmjax.data.synthetic.interactions import communities, topics
from mmjax.models.common.task import Task
from mmjax.retriever import Model
from mmjax.training.sources.pairs import Source, pairs_source, triples_source

_SMOKE: dict[str, Any] = {"width": 8, "hidden": 16, "samples": 2}


def load_data(run: Run) -> Interactions:
    """The data set of `run`, without held-out rows of users that have no training row.

    A smoke run on data that cannot be shipped takes the synthetic communities instead.

    Raises:
        DataError: files are missing or broken; the message says which and what to do.
    """
    elsewhere = run.data in NAMES and not get_source(run.data).shipped
    if run.data == "communities" or (run.smoke and elsewhere and run.manual_dir is None):
        data = communities()
        if elsewhere:
            features = {"text": data.features["text"], "image": data.features["noise"]}
            data = dataclasses.replace(data, features=features)
    elif run.data == "topics":
        data = topics()
    elif Path(run.data).is_dir():
        data = load_mmrec(Path(run.data))
    else:
        collaborative = not hasattr(run.model, "modalities")
        data = load(
            run.data,
            data_dir=run.data_dir,
            manual_dir=run.manual_dir,
            allow_missing_features=collaborative,
        )
    return data.filter_cold_users()


def shrink(run: Run) -> Run:
    """The smoke form of `run`: a tiny model for four epochs."""
    sizes = {k: v for k, v in _SMOKE.items() if hasattr(run.model, k)}
    if getattr(run.model, "samples", 1) == 0:
        sizes.pop("samples", None)
    negatives = min(run.optim.negatives, 4)
    return dataclasses.replace(
        run,
        model=dataclasses.replace(run.model, **sizes),
        optim=dataclasses.replace(run.optim, batch_size=8000, negatives=negatives),
        fit=dataclasses.replace(run.fit, epochs=4, eval_every=2),
    )


def build_task(run: Run, data: Interactions) -> Task:
    """The training split of `data` as models read it, its features in the run's precision."""
    return _task(data, run.dtype)


# Runs on the same data share their task, and with it the graphs.
@functools.lru_cache(maxsize=2)
def _task(data: Interactions, dtype: str) -> Task:
    features = {n: jnp.asarray(x, dtype) for n, x in data.features.items()}
    labels = {n: a.labels for n, a in data.attributes.items()}
    return Task(data.train, data.n_users, data.n_items, features, labels)


def build_model(run: Run, data: Interactions) -> Model:
    """The method of `run` on the training split of `data`.

    Raises:
        ValueError: the data lack a modality that the configuration names.
    """
    return METHODS[run.method].builder()(run.model, build_task(run, data))


def build_source(run: Run, data: Interactions) -> Source:
    """Batches of training pairs with negatives, drawn on the device."""
    unseen = None
    if run.optim.sampler != "uniform":
        unseen = negative_index(data.train, data.n_users, data.n_items, "train")
    if run.optim.sampler == "fixed" and unseen is not None:
        size, negatives = run.optim.batch_size, run.optim.negatives
        return triples_source(data.train, size, unseen=unseen, n_negatives=negatives)
    return pairs_source(
        data.train,
        data.n_items,
        run.optim.batch_size,
        n_negatives=run.optim.negatives,
        unseen=unseen,
    )


def build_optimiser(optim: Adam, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam whose step size is multiplied by `decay` after each epoch while it stays >= `floor`.

    Weight decay is coupled: it joins the gradient before the moments, as in PyTorch's Adam.
    """
    adam = optax.adam(_step_size(optim, steps_per_epoch))
    if optim.weight_decay == 0.0:
        return adam
    return optax.chain(optax.add_decayed_weights(optim.weight_decay), adam)


def _step_size(optim: Adam, steps_per_epoch: int) -> optax.ScalarOrSchedule:
    if optim.decay == 1.0:
        return optim.learning_rate
    last = math.inf
    if optim.floor > 0:
        last = math.floor(math.log(optim.floor / optim.learning_rate) / math.log(optim.decay))
        last = max(last, 0)

    def schedule(step: Any) -> Any:
        return optim.learning_rate * optim.decay ** jnp.minimum(step // steps_per_epoch, last)

    return schedule
