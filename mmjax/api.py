"""The front door: a data set to a trained and evaluated recommender in five lines.

    data = mmjax.load("lastfm_2k")
    model = mmjax.models.freedom.build(mmjax.models.freedom.FREEDOMConfig(), mmjax.task(data))
    validate = mmjax.evaluator(data, "valid")
    result = mmjax.fit(model, mmjax.pairs(data, 2048), optax.adam(1e-3), validate=validate)
    mmjax.evaluate(model, result.variables[0], data, "test")

Everything here is a few calls of the rooms behind it, which take any arrays.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax

from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data.core.interactions import Interactions
from mmjax.evaluation.evaluator import KS, Evaluator
from mmjax.models.common.task import Task
from mmjax.models.registry import METHODS
from mmjax.objective import Objective, Variables
from mmjax.retriever import Model, Retriever
from mmjax.training import fitting
from mmjax.training.config import FitConfig, to_json
from mmjax.training.loop import NO_HOOKS, Hooks
from mmjax.training.sources.pairs import BatchSource, pairs_source


def task(data: Interactions, *, dtype: str = "float32") -> Task:
    """The training split of a data set as models read it.

    Args:
        data: pairs, features and attributes; users without a training pair stay.
        dtype: precision of the item features on the device, "float32" or "bfloat16".
    """
    features = {name: jnp.asarray(x, dtype) for name, x in data.features.items()}
    labels = {name: attribute.labels for name, attribute in data.attributes.items()}
    return Task(data.train, data.n_users, data.n_items, features, labels)


def pairs(data: Interactions, batch_size: int, *, negatives: int = 1) -> BatchSource:
    """Shuffled training pairs with negatives that the user has not, drawn on the device.

    Args:
        data: a data set.
        batch_size: pairs of a batch.
        negatives: negatives of a pair; 0 for methods without any.

    Raises:
        ValueError: a size is out of range.
    """
    unseen = negative_index(data.train, data.n_users, data.n_items, "train")
    return pairs_source(data.train, data.n_items, batch_size, n_negatives=negatives, unseen=unseen)


def evaluator(
    data: Interactions,
    split: str = "valid",
    *,
    ks: Sequence[int] = KS,
    exclude: str = "train",
) -> Evaluator:
    """The evaluator of a split by full ranking; users without a training pair are left out.

    Args:
        data: a data set.
        split: "valid" or "test".
        ks: cut-offs K.
        exclude: rule of what is never recommended, see `Interactions.excluded`.

    Raises:
        ValueError: no such split or rule.
    """
    warm = data.filter_cold_users()
    excluded = data.excluded(split, exclude)
    return Evaluator(warm.pairs(split), excluded, data.n_users, data.n_items, tuple(ks))


def evaluate(
    model: Model,
    variables: Variables,
    data: Interactions,
    split: str = "test",
    *,
    ks: Sequence[int] = KS,
    exclude: str = "train",
) -> dict[str, float]:
    """Metrics of trained variables on a split, fractions in [0, 1]; see `evaluator`."""
    return evaluator(data, split, ks=ks, exclude=exclude)(model.retriever, variables)


def fit(
    model: Model | Objective,
    source: BatchSource,
    optimiser: optax.GradientTransformation,
    *,
    validate: Evaluator | None = None,
    config: FitConfig | None = None,
    seeds: Sequence[int] = (0,),
    workdir: str | Path | None = None,
    run_config: Any = None,
    hooks: Hooks = NO_HOOKS,
) -> fitting.FitResult:
    """Train a model until it no longer improves on validation; see `mmjax.training.fit`.

    Args:
        model: from a method's `build`; an objective alone cannot be validated.
        source: training data.
        optimiser: any optax transformation.
        validate: evaluator of the validation split; None keeps the last parameters.
        config: length, selection and devices; None takes the defaults, with Recall at the largest
            K up to 20 as the metric that selects.
        seeds: trained together as one program.
        workdir: folder of the run; None writes nothing.
        run_config: what is trained, kept in config.json; `mmjax.run_settings` makes one from which
            `mmjax.load_run` rebuilds the method.
        hooks: functions of your own, called on the way.

    Raises:
        ValueError: an objective alone is to be validated, and as `mmjax.training.fit`.
    """
    objective = model.objective if isinstance(model, Model) else model
    metrics = None
    if validate is not None:
        if not isinstance(model, Model):
            raise ValueError("fit: validation needs a Model; an Objective alone retrieves nothing")
        config = config or FitConfig(metric=f"recall@{_selecting(validate.ks)}")
        metrics = functools.partial(_validated, validate, model.retriever)

    return fitting.fit(
        objective,
        source,
        optimiser,
        metrics,
        config or FitConfig(),
        seeds=seeds,
        workdir=workdir,
        run_config=run_config,
        hooks=hooks,
    )


def run_settings(
    method: str, config: Any, data: Interactions, place: str | Path | None = None
) -> dict[str, Any]:
    """What `fit` should keep of a run in its `workdir`, so that `load_run` can rebuild it.

    Args:
        method: key of `mmjax.models.registry.METHODS`.
        config: the method's hyper-parameters.
        data: what it is trained on.
        place: name or folder by which `load_run` finds the data again; None takes their name.

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    where = data.name if place is None else str(place)
    if Path(where).is_dir():
        where = str(Path(where).resolve())
    settings = {"method": method, "model": config, "data": where}
    return to_json({**settings, "data_digest": data.digest, "exclude": "train"})


def _validated(
    validate: Evaluator, retriever: Retriever, params: Any, state: Any, key: Any
) -> dict[str, float]:
    return validate(retriever, {"params": params, **state})


def _selecting(ks: Sequence[int]) -> int:
    return max((k for k in ks if k <= 20), default=min(ks))
