"""Recommenders of users and items: from flags to a trained, evaluated and recorded method."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import mmjax
from experiments.common.config import Run, is_path
from experiments.common.recommend import Recommend, finish
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data import load
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions
from mmjax.data.formats.catalogue_files import read_catalogue
from mmjax.data.formats.mmrec import load_mmrec
from mmjax.data.registry import SOURCES
from mmjax.data.synthetic.interactions import communities, topics
from mmjax.errors import UserError, user_errors
from mmjax.evaluation import Evaluator
from mmjax.models.collaborative import neighbours
from mmjax.models.common.task import Task
from mmjax.models.registry import METHODS
from mmjax.objective import Objective, Variables
from mmjax.retriever import Model, TopK, given_vectors, retrieve
from mmjax.runs import check_content, rebuilt, seen_rows
from mmjax.training.best import Best, load_best
from mmjax.training.config import flatten
from mmjax.training.optim import optimiser
from mmjax.training.run_config import override
from mmjax.training.seeds import CATALOGUE, RunResult, TrainingSetup, train_seeds
from mmjax.training.sources.pairs import BatchSource, pairs_source, triples_source
from mmjax.training.warm import entries, warm_started


def load_data(run: Run) -> Interactions:
    """The data set of `run`, without held-out rows of users that have no training row.

    A smoke run on data that cannot be shipped takes the synthetic communities instead.

    Raises:
        DataError: files are missing or broken; the message says which and what to do.
    """
    elsewhere = run.data in SOURCES and not SOURCES[run.data].shipped
    if run.data == "communities" or (run.smoke and elsewhere and run.manual_dir is None):
        data = communities()
        if elsewhere:
            features = {"text": data.features["text"], "image": data.features["noise"]}
            data = dataclasses.replace(data, features=features)
    elif run.data == "topics":
        data = topics()
    elif Path(run.data).is_dir():
        data = load_mmrec(Path(run.data))
    elif is_path(run.data):
        raise DataError(
            f"{run.data}: no such folder; if the data were moved, name their place by --data"
        )
    else:
        data = load(
            run.data,
            kind="interactions",
            data_dir=run.data_dir,
            manual_dir=run.manual_dir,
            allow_missing_features=not hasattr(run.model, "modalities"),
        )
    return data.filter_cold_users()


def task_of(data: Interactions, dtype: str) -> Task:
    """`mmjax.task` of the data, kept for the next run on them, and with it the graphs."""
    return _kept_task(data, dtype)


# Behind a function with types, since the checker does not see those of a cached one.
@functools.lru_cache(maxsize=2)
def _kept_task(data: Interactions, dtype: str) -> Task:
    return mmjax.task(data, dtype=dtype)


def build(run: Run, data: Interactions) -> Model:
    """The method of `run` on the training split of `data`.

    Raises:
        ValueError: the data lack a modality that the configuration names.
    """
    return METHODS[run.method].builder()(run.model, task_of(data, run.dtype))


def build_source(run: Run, data: Interactions) -> BatchSource:
    """Batches of training pairs with negatives, drawn on the device."""
    optim, unseen = run.optim, None
    if optim.sampler != "uniform":
        unseen = negative_index(data.train, data.n_users, data.n_items, "train")
    if optim.sampler == "fixed" and unseen is not None:
        return triples_source(
            data.train, optim.batch_size, unseen=unseen, n_negatives=optim.negatives
        )
    return pairs_source(
        data.train, data.n_items, optim.batch_size, n_negatives=optim.negatives, unseen=unseen
    )


def evaluator(
    run: Run, data: Interactions, split: str, ks: tuple[int, ...] | None = None
) -> Evaluator:
    """The evaluator of a split under the run's protocol."""
    return mmjax.evaluator(data, split, ks=ks or run.ks, exclude=run.exclude)


def setup(run: Run, data: Interactions) -> TrainingSetup:
    """All that training and evaluating the method of `run` needs."""
    model, source = build(run, data), build_source(run, data)
    objective = model.objective
    if run.warm_start is not None:
        objective = _warm(run, data, objective)
    splits = tuple(split for split in ("valid", "test") if len(data.pairs(split)))
    if "valid" not in splits:
        print(
            f"{data.name}: no rows for validation (x_label 1): trains {run.fit.epochs} epochs "
            "(--fit.epochs) and keeps the last parameters",
            flush=True,
        )

    def evaluate(split: str, ks: tuple[int, ...]) -> Callable[[Variables], dict[str, float]]:
        return functools.partial(evaluator(run, data, split, ks), model.retriever)

    return TrainingSetup(
        method=run.method,
        data=data,
        exclude=run.exclude,
        objective=objective,
        source=source,
        optimiser=optimiser(run.optim, source.steps_per_epoch, epochs=run.fit.epochs),
        fit=run.fit,
        validate=evaluate("valid", tuple(sorted({*run.ks, 20}))) if "valid" in splits else None,
        evaluator=lambda split: evaluate(split, run.ks),
        splits=splits,
    )


def _warm(run: Run, data: Interactions, objective: Objective) -> Objective:
    """The objective with the parameters of an earlier run, on what may be a larger catalogue.

    Raises:
        UserError: no such run, one of another method, or one that kept no ids.
    """
    assert run.warm_start is not None
    best = load_best(run.warm_start)
    before = read_run(best.description, run.warm_start)
    kept = read_catalogue(run.warm_start / CATALOGUE)
    if before.method != run.method or kept is None:
        found = before.method if kept else "a run without the ids of its data"
        raise UserError(f"--warm-start {run.warm_start}: {found}; give a run of {run.method}")
    kinds = []
    for kind, count in (("user", data.n_users), ("item", data.n_items)):
        old, new = kept[f"{kind}_ids"], getattr(data, f"{kind}_ids")
        old = np.arange(kept[f"n_{kind}s"]) if old is None else old
        kinds.append(entries(kind, old, np.arange(count) if new is None else new))
    warm, counts = warm_started(objective, best.variables[0], tuple(kinds))
    fresh = ", ".join(f"{(k.place < 0).sum():,} new {k.kind}s" for k in kinds)
    print(
        f"starts from {run.warm_start}: {counts['whole']} arrays whole, {counts['rows']} by rows "
        f"({fresh}), {counts['fresh']} anew",
        flush=True,
    )
    return warm


def require_splits(data: Interactions, use: str, *splits: str) -> None:
    """Refuse data without the rows that a command needs, before anything is trained.

    Raises:
        UserError: naming the split, its label and the remedy.
    """
    for split in splits:
        if not len(data.pairs(split)):
            raise UserError(
                f"{data.name}: no rows for {split} (x_label {SPLITS.index(split)}), which {use} "
                "needs; split anew: python -m experiments prepare FILE --split random-8:1:1"
            )


def run_method(run: Run, *, data: Interactions | None = None, test: bool = True) -> RunResult:
    """Train every seed of `run`, keep its best epoch on validation, then score test once.

    Args:
        run: what to run. With a workdir the run is saved there and resumed from there.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone (selection among configurations).

    Raises:
        UserError: the data are missing or broken, or the settings do not fit the data or the
            workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; nothing is evaluated.
    """
    with user_errors():
        data = load_data(run) if data is None else data
        prepared = setup(run, data)
    return train_seeds(run, prepared, test=test)


def evaluate_heuristics(run: Run, data: Interactions) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics of the rankings without training, by name, split and metric."""
    retriever, task = given_vectors(data.n_items), task_of(data, "float32")
    splits = [split for split in ("valid", "test") if len(data.pairs(split))]
    evaluators = {split: evaluator(run, data, split) for split in splits}
    if not evaluators:
        return {}
    return {
        name: {split: evaluate(retriever, vectors) for split, evaluate in evaluators.items()}
        for name, make in neighbours.applicable(task).items()
        for vectors in [make(task)]
    }


def top(
    run: Run,
    data: Interactions,
    variables: Variables,
    users: np.ndarray,
    *,
    k: int = 10,
    include_seen: bool = False,
) -> TopK:
    """The k best items of some distinct users, by number; without their training items."""
    exclude = None if include_seen else seen_rows(data, users)
    retriever = build(run, data).retriever
    return retrieve(retriever, variables, users.astype(np.int32), k=k, exclude=exclude)


def read_run(description: Mapping[str, Any], where: Path) -> Run:
    """The settings that a run's folder describes: those that it wrote, no preset's.

    Raises:
        UserError: it is not that of a recommender run.
    """
    try:
        saved_fields = {k: v for k, v in description["run"].items() if k != "data_digest"}
        start = Run(model=METHODS[saved_fields["method"]].config_class()())
        return override(start, flatten(saved_fields))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{where} does not hold a recommender run ({error!r})") from error


def load_trained(
    workdir: Path,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    data: str | None = None,
) -> tuple[Run, Interactions, Variables]:
    """Settings, data and best variables of the first seed of a run's folder.

    Args:
        workdir: of the run.
        data_dir, manual_dir: see `mmjax.data.load`.
        data: where the data lie now; None takes the run's word.

    Raises:
        UserError: no checkpoint in the folder, no run of a recommender, or data that are not
            those of the run.
    """
    best = load_best(workdir)
    run, found = _of(best, workdir, data_dir, manual_dir, data)
    check_content(workdir, best.description["run"], found)
    return run, found, best.variables[0]


def _of(
    best: Best, workdir: Path, data_dir: Path | None, manual_dir: Path | None, data: str | None
) -> tuple[Run, Interactions]:
    """Settings and data of a run's folder; arguments as for `load_trained`."""
    run = read_run(best.description, workdir)
    run = dataclasses.replace(run, data_dir=data_dir, manual_dir=manual_dir, data=data or run.data)
    with user_errors():
        return run, load_data(run)


def recommend(flags: Recommend) -> str:
    """Top-K with names from a run's folder, as text or as a file; see `recommend.finish`.

    Raises:
        UserError: no checkpoint in the workdir, no such user, k below 1, or an output of unknown
            ending.
    """
    flags.check()
    best = load_best(flags.workdir)
    _, data = _of(best, flags.workdir, flags.data_dir, flags.manual_dir, flags.data)
    finished = rebuilt(flags.workdir, best, data)
    users = flags.choose(data)
    with user_errors():
        options = {"include_seen": flags.include_seen, "candidates": flags.allowed()}
        rows = finished.rows(users, flags.k, **options)
    return finish(rows, flags.out)
