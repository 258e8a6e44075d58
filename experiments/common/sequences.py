"""Recommenders of the next item: from flags to a trained, evaluated and recorded method.

A method is a `SequenceMethod`: how its retriever is made for some histories, and what it trains on.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from experiments.common.baselines import baseline
from experiments.common.config import SEQUENCE_SMOKE, SequenceRun, is_path
from experiments.common.recommend import Recommend, finish
from experiments.common.report import Page, result_table, training_page
from mmjax.blocks.sequences.sampling import negative_index
from mmjax.data import load, load_sequences_csv
from mmjax.data.core.checks import DataError
from mmjax.data.core.sequences import Sequences, Windows, in_order_of_time
from mmjax.data.formats.mmrec import load_mmrec
from mmjax.data.synthetic.interactions import chains
from mmjax.errors import UserError, user_errors
from mmjax.evaluation import Evaluator
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.registry import METHODS
from mmjax.objective import Variables
from mmjax.retriever import Model, TopK, Vectors, given_vectors, retrieve
from mmjax.runs import check_content, rebuilt, result_rows
from mmjax.training.best import load_best
from mmjax.training.config import flatten
from mmjax.training.optim import optimiser
from mmjax.training.parallel import init
from mmjax.training.records import Record, untrained
from mmjax.training.run_config import override
from mmjax.training.seeds import RunResult, TrainingSetup, train_seeds
from mmjax.training.sources.pairs import BatchSource
from mmjax.training.sources.sequences import packed_source
from mmjax.viz import report, tables

METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")
"""Columns of the result tables."""


class SequenceMethod(Protocol):
    """A method on one data set, its own stages (such as semantic ids) behind it."""

    def build(self, windows: Windows) -> Model:
        """The model whose retriever answers for some histories; query n is window n."""
        ...

    def source(self) -> BatchSource:
        """Batches of the training split."""
        ...

    def watched(self) -> np.ndarray | None:
        """Users that validation while training looks at; None for all."""
        ...


Maker = Callable[[SequenceRun, Sequences], SequenceMethod]
"""Prepares a method on a data set: reads or makes what it needs beside its own training."""


@dataclasses.dataclass(frozen=True)
class VectorMethod:
    """A method of the registry that compares vectors, trained on packed sequences."""

    run: SequenceRun
    data: Sequences

    def build(self, windows: Windows) -> Model:
        """See `SequenceMethod`."""
        return METHODS[self.run.method].builder()(self.run.model, task_of(self.data, windows))

    def source(self) -> BatchSource:
        """Packed train sequences, with negatives where the method's loss samples."""
        run, data = self.run, self.data
        n = getattr(run.model, "n_negatives", 0)
        unseen = negative_index(data.train_pairs(), data.n_users, data.n_items) if n else None
        return packed_source(
            data.items,
            data.windows("train"),
            run.model.length,
            run.optim.batch_size,
            n_negatives=n,
            unseen=unseen,
        )

    def watched(self) -> None:
        """All users."""
        return None


def load_data(run: SequenceRun) -> Sequences:
    """The data set of `run`; of a smoke run, unless on files of one's own, the synthetic chains.

    Raises:
        DataError: a file is missing or broken; the message says which and what to do.
    """
    if run.data == "chains" or (run.smoke and not is_path(run.data)):
        return chains()
    if Path(run.data).is_dir():
        return in_order_of_time(load_mmrec(run.data))
    if Path(run.data).suffix in (".csv", ".gz"):
        return load_sequences_csv(run.data, k_core=run.k_core)
    if is_path(run.data):
        raise DataError(
            f"{run.data}: no such folder; if the data were moved, name their place by --data"
        )
    return load(run.data, kind="sequences", data_dir=run.data_dir)


def task_of(data: Sequences, windows: Windows) -> SequenceTask:
    """What a model is built from that recommends after some histories; window n is its user n."""
    return SequenceTask(
        data.items,
        windows.start,
        windows.stop,
        data.n_items,
        data.features,
        {name: a.labels for name, a in data.attributes.items()},
        windows.user,
    )


def evaluator(
    run: SequenceRun, data: Sequences, split: str, users: np.ndarray | None = None
) -> Evaluator:
    """Users of `split` with their one target, among all items or those that are new to them."""
    seen = data.excluded(split) if run.filter_seen else np.zeros((0, 2), np.int32)
    sizes = data.n_users, data.n_items
    return Evaluator(data.held_out(split), seen, *sizes, ks=run.ks, users=users)


def run_method(
    run: SequenceRun,
    *,
    data: Sequences | None = None,
    test: bool = True,
    make: Maker = VectorMethod,
) -> RunResult:
    """Train every seed of `run`, keep its best epoch on validation, then score test once.

    Args:
        run: what to run. With a workdir the run is saved there and resumed from there.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone (selection among configurations).
        make: prepares the method.

    Raises:
        UserError: the data are missing or broken, or the settings do not fit the data or the
            workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; nothing is evaluated.
    """
    with user_errors():
        data = load_data(run) if data is None else data
        method = make(run, data)
        model, source = method.build(data.histories("valid")), method.source()

    def evaluate(
        model: Model, split: str, users: np.ndarray | None = None
    ) -> Callable[[Variables], dict[str, float]]:
        return functools.partial(evaluator(run, data, split, users), model.retriever)

    prepared = TrainingSetup(
        method=run.method,
        data=data,
        exclude=run.exclude,
        objective=model.objective,
        source=source,
        optimiser=optimiser(run.optim, source.steps_per_epoch, epochs=run.fit.epochs),
        fit=run.fit,
        validate=evaluate(model, "valid", method.watched()),
        evaluator=lambda split: evaluate(method.build(data.histories(split)), split),
    )
    return train_seeds(run, prepared, test=test)


def top(
    method: SequenceMethod,
    data: Sequences,
    variables: Variables,
    windows: Windows,
    *,
    k: int,
    new: bool = False,
) -> TopK:
    """The k best items after each window and their scores, best first.

    Args:
        method: the method.
        data: its data set.
        variables: trained.
        windows: histories in `data`.
        k: items per window; where fewer are left, the rest is id -1.
        new: leave the items of a history out.
    """
    queries = np.arange(len(windows.stop), dtype=np.int32)
    exclude = data.pairs(windows) if new else None
    return retrieve(method.build(windows).retriever, variables, queries, k=k, exclude=exclude)


def train(
    run: SequenceRun, preset: Callable[..., SequenceRun], makers: Mapping[str, Maker]
) -> None:
    """Run `run` and its baselines, print the test table, write records and `report.html`.

    Args:
        run: the settings.
        preset: the settings of any method on any data, for the baselines.
        makers: of methods that are no `VectorMethod`.

    Raises:
        UserError, Interrupted: see `run_method`.
    """
    init()
    with user_errors():
        data = load_data(run)
        print(f"{data}\n", flush=True)
        runs = [run, *(baseline(run, name, preset, SEQUENCE_SMOKE) for name in run.baselines)]
    results = []
    for each in runs:
        result = run_method(each, data=data, make=makers.get(each.method, VectorMethod))
        if each.workdir is not None:
            result.record.save(each.workdir / "record.json")
        results.append(result)
    popular = popularity_record(run, data)
    table = result_table([*(r.record for r in results), popular], METRICS)
    print(
        f"\nTest, {data.name}, split {data.split}, left out: {run.exclude}\n{tables.to_text(table)}"
    )
    if run.workdir is not None:
        popular.save(run.workdir / "baselines" / "popularity" / "record.json")
        method = makers.get(run.method, VectorMethod)(run, data)
        shown = samples(method, data, results[0].variables[0])
        page = _page(run, data, shown)
        path = training_page(run.workdir / "report.html", results, [popular], page)
        print(f"report: {path}")


def popularity_record(run: SequenceRun, data: Sequences) -> Record:
    """The record of ranking by how often items occur in training."""
    count = np.bincount(data.train_pairs()[:, 1], minlength=data.n_items)
    vectors = Vectors(jnp.ones((data.n_users, 1)), jnp.asarray(count[:, None], jnp.float32))
    retriever = given_vectors(data.n_items)
    figures = {s: evaluator(run, data, s)(retriever, vectors) for s in ("valid", "test")}
    return untrained("popularity", data, run.exclude, figures)


def samples(
    method: SequenceMethod, data: Sequences, variables: Variables, n: int = 4
) -> list[report.Sample]:
    """Recommendations to some users with long histories, before their test item."""
    windows = data.windows("test")
    rows = np.argsort(windows.start - windows.stop, kind="stable")[:n]
    chosen = Windows(*(x[rows] for x in windows))
    found = top(method, data, variables, chosen, k=10)
    return [
        report.Sample(
            f"user {data.user_id(int(user))}",
            [data.item_title(int(i)) for i in data.items[start:stop]],
            [
                report.Pick(data.item_title(int(i)), float(s), int(i) == target)
                for i, s in zip(ids, scores, strict=True)
                if i >= 0
            ],
        )
        for user, start, stop, target, ids, scores in zip(
            *chosen, data.targets(chosen).tolist(), *map(np.asarray, found), strict=True
        )
    ]


def _page(run: SequenceRun, data: Sequences, shown: list[report.Sample]) -> Page:
    seen = "items of the history are left out" if run.filter_seen else "those of the history too"
    tiny = ["A smoke run: the figures mean nothing."] if run.smoke else []
    return Page(
        data=f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, "
        f"{len(data.items):,} interactions",
        subtitle=data.source,
        metrics=METRICS,
        shown=("recall@10", "ndcg@10"),
        selecting=run.fit.metric,
        samples=shown,
        notes=[
            f"Leave-one-out by time, one target a user. All items are ranked, {seen}.",
            "Epochs are selected on validation; test is scored once.",
            *tiny,
        ],
    )


def recommend(flags: Recommend, makers: Mapping[str, Maker]) -> str:
    """Top-K of what comes after all that is known of a user, the held-out items included.

    Raises:
        UserError: no checkpoint in the workdir, no run on sequences, no such user, k out of
            range, or an output of unknown ending.
    """
    flags.check()
    best = load_best(flags.workdir)
    run = _read_run(best.description, flags)
    with user_errors():
        data = load_data(run)
    check_content(flags.workdir, best.description["run"], data)
    with user_errors():
        users, allowed = flags.choose(data), flags.allowed()
        if run.method not in makers:
            finished = rebuilt(flags.workdir, best, data)
            options = {"include_seen": flags.include_seen, "candidates": allowed}
            return finish(finished.rows(users, flags.k, **options), flags.out)
        if allowed is not None:
            raise UserError(f"--candidates: {run.method} generates items out of all; use sasrec")
        method = makers[run.method](run, data)
        windows = Windows(users.astype(np.int32), data.offsets[users], data.offsets[users + 1])
        new = not flags.include_seen
        found = top(method, data, best.variables[0], windows, k=flags.k, new=new)
    return finish(result_rows(data, users, found), flags.out)


def _read_run(description: dict[str, Any], flags: Recommend) -> SequenceRun:
    try:
        saved = {k: v for k, v in description["run"].items() if k != "data_digest"}
        start = SequenceRun(model=METHODS[saved["method"]].config_class()())
        run = override(start, flatten(saved))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{flags.workdir} holds no run on sequences ({error!r})") from error
    data = flags.data or run.data
    return dataclasses.replace(run, data=data, data_dir=flags.data_dir, workdir=flags.workdir)
