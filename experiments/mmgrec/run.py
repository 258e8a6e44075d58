"""MMGRec: graph vectors, codes, ids, then a model that writes them; and the commands around it.

Axes: u users, i items, d width of their vectors, f all features, s items of a history.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.common import readme
from experiments.common.comparison import saved
from experiments.common.interactions import (
    build_source,
    evaluate_heuristics,
    evaluator,
    load_data,
    task_of,
)
from experiments.common.recommend import Recommend, finish
from experiments.common.report import heuristic_records
from experiments.mmgrec import analysis
from experiments.mmgrec.analysis import (
    cost,
    feature_vectors,
    ranked,
    search_evaluator,
    search_figures,
)
from experiments.mmgrec.config import Ablate, MMGRecRun, preset
from mmjax import semantic_ids
from mmjax.blocks.sequences.histories import counts, histories, shuffled, some_items
from mmjax.data.core.interactions import Interactions
from mmjax.errors import UserError, user_errors
from mmjax.models.generative import mmgrec, rq_vae
from mmjax.models.generative.mmgrec.config import GeneratorConfig
from mmjax.objective import Variables
from mmjax.retriever import Retriever, TopK, Vectors, index_of, retrieve
from mmjax.runs import result_rows, seen_rows
from mmjax.semantic_ids.table import SidTable, arrays_sha256
from mmjax.training.fitting import FitResult
from mmjax.training.optim import optimiser
from mmjax.training.parallel import init
from mmjax.training.pipeline import Pipeline, pipelines
from mmjax.training.records import Record, environment
from mmjax.training.seeds import RunResult, identity, merge_seeds, training_fields
from mmjax.training.sources.pairs import rows_source
from mmjax.training.sources.subsets import subset_source
from mmjax.training.stages import load_stage
from mmjax.viz import tables as viz

__all__ = ["ablate", "cost", "recommend", "tables", "train"]

_encode = jax.jit(rq_vae.encode, static_argnums=0)


def train(run: MMGRecRun) -> None:
    """Run all stages, print the test table, write the record and `report.html`.

    Raises:
        UserError, Interrupted: see `run_method`.
    """
    init()
    protocol = run.recommender()
    with user_errors():
        data = load_data(protocol)
    print(f"{data}\n", flush=True)
    result = saved(run_method(run, data=data), run.workdir)
    heuristics = heuristic_records(protocol, data, evaluate_heuristics(protocol, data))
    table = analysis.searches_table(result.record, heuristics)
    print(f"\nTest, {data.name}, split {data.split}\n{viz.to_text(table)}")
    print(analysis.ids_line(result.record))
    if run.workdir is not None:
        best = partial(top, load_generator(run.workdir / f"seed_{run.seed}"), data)
        page = run.workdir / "report.html"
        print(f"report: {analysis.write_page(page, run, data, result, heuristics, best)}")


def run_method(
    run: MMGRecRun, *, data: Interactions | None = None, test: bool = True, shared: bool = False
) -> RunResult:
    """Train all stages of every seed, then score test once.

    Args:
        run: what to run. With a workdir every stage is kept there and resumed from there.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone.
        shared: runs of other settings have the workdir too; they share the stages that agree.

    Raises:
        UserError: the data are missing or broken, or the settings do not fit the data or the
            workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; finished stages are not repeated by the same call.
    """
    if min(*run.widths, run.select_width, run.official_width) < min(run.ks):
        raise UserError(f"a search of fewer beams than {min(run.ks)}, the least of --ks")
    with user_errors():
        data = load_data(run.recommender()) if data is None else data
    # What `recommend` loads the data by, and their content.
    about = {"data": run.data, "smoke": run.smoke, "digest": data.digest}
    seeds = pipelines(run.workdir, run.seed_list(), identity=about, shared=shared)
    results = [run_seed(run, data, stages, test=test) for stages in seeds]
    return merge_seeds(results, identity(run, data))


def run_seed(run: MMGRecRun, data: Interactions, stages: Pipeline, *, test: bool) -> RunResult:
    """All stages of one seed, each read if it was finished before, and the record."""
    graph = None if run.vectors == "features" else graph_stage(run, data, stages)
    if graph is None:
        width = run.graph.model.out_width
        make, inputs = partial(feature_vectors, width=width), (side_by_side(run, data), data)
        vectors = stages.make("vectors", make, inputs, {"width": width}, kinds=(Vectors,))
    else:
        make, settings = partial(index_of, graph.retriever), {"graph": run.graph.model}
        best = {"variables": graph.fit.variables[0]}
        vectors = stages.make("vectors", make, best, settings, kinds=(Vectors,))
    ids = id_stage(run, data, vectors, graph, stages)
    generator = generator_stage(run, data, vectors, ids.table, stages)
    last = generator.fit

    scores: dict[str, dict[str, float]] = {"valid": {}, "test": {}}
    for split in ("valid", "test") if test else ("valid",):
        scores[split] = search_figures(run, data, split, generator.search, last.variables[0])
        if graph is not None:
            found = evaluator(run.recommender(), data, split)(graph.retriever, best["variables"])
            scores[split] |= {f"graph/{name}": x for name, x in found.items()}
    scores["valid"] |= ids.figures
    fits = [last, *(x.fit for x in (ids, graph) if x is not None and x.fit is not None)]
    fields = training_fields([last])
    fields["seconds"] = round(sum(f.history[-1]["elapsed"] for f in fits), 1)
    record = Record(
        method="mmgrec",
        data=data.name,
        split=data.split,
        exclude="train",
        seeds=[stages.seed],
        valid={name: [round(x, 6)] for name, x in scores["valid"].items()},
        test={name: [round(x, 6)] for name, x in scores["test"].items()},
        config=identity(run, data),
        **fields,
        **environment(),
    )
    return RunResult(record, last.variables, last.history, [last.stopped_because])


class Graph(NamedTuple):
    """Stage 0, trained; of a joint training, the quantiser's variables are among its own."""

    fit: FitResult
    retriever: Retriever
    """By inner products of the graph's vectors."""


def graph_stage(run: MMGRecRun, data: Interactions, stages: Pipeline) -> Graph:
    """Train the graph encoder, alone or with the quantiser; validated as a recommender."""
    protocol, stage = run.recommender(), run.graph
    settings: dict[str, Any] = {"model": stage.model, "optim": stage.optim, "joint": run.joint}
    with user_errors():
        task, source = task_of(data, protocol.dtype), build_source(protocol, data)
        if run.joint:
            model = mmgrec.build_joint(stage.model, run.quantiser.model, task)
            settings["quantiser"] = run.quantiser.model
        else:
            model = mmgrec.build_graph(stage.model, task)
    evaluate = evaluator(protocol, data, "valid", tuple(sorted({*run.ks, 10, 20})))
    fitted = stages.train(
        "graph",
        model.objective,
        source,
        optimiser(stage.optim, source.steps_per_epoch, epochs=stage.fit.epochs),
        settings,
        validate=lambda p, state, key: evaluate(model.retriever, {"params": p, **state}),
        config=stage.fit,
    )
    return Graph(fitted, model.retriever)


def side_by_side(run: MMGRecRun, data: Interactions) -> Float[np.ndarray, "i f"]:
    """The features as stage 0 reads them."""
    with user_errors():
        return np.asarray(
            mmgrec.graph_inputs(run.graph.model, task_of(data, run.recommender().dtype))[0]
        )


class Ids(NamedTuple):
    """Stage 1: the ids of the items, and the training of their quantiser."""

    table: SidTable
    fit: FitResult | None
    """None where the quantiser was trained with the graph."""
    figures: dict[str, float]
    """Use of the codes, by slash names."""


def id_stage(
    run: MMGRecRun, data: Interactions, vectors: Vectors, graph: Graph | None, stages: Pipeline
) -> Ids:
    """Item ids: codes of the vectors or of the features, then the popularity token.

    Popularity counts training pairs alone. Random ids are those of the vectors, dealt anew.
    """
    stage, jointly = run.quantiser, graph if run.joint else None
    x = np.asarray(vectors.items)
    if run.ids == "features" and jointly is None:
        x = side_by_side(run, data)
    if jointly is not None:
        fitted, figures, trained = None, {}, jointly.fit
        encode = partial(mmgrec.item_codes, stage.model)
    else:
        with user_errors():
            objective = rq_vae.build(stage.model, x)
        source = rows_source(len(x), stage.optim.batch_size)
        validate = rq_vae.evaluation(stage.model, x)
        fitted = trained = stages.train(
            "rq_vae",
            objective,
            source,
            optimiser(stage.optim, source.steps_per_epoch, epochs=stage.fit.epochs),
            {"model": stage.model, "optim": stage.optim},
            validate=validate,
            config=stage.fit,
            inputs={"x": x},
        )
        params, encode = fitted.variables[0]["params"], partial(_encode, stage.model)
        state = {name: v for name, v in fitted.variables[0].items() if name != "params"}
        figures = validate(params, state, jax.random.key(0))

    def make(variables: Variables, x: np.ndarray) -> SidTable:
        table = semantic_ids.assign(
            np.asarray(encode(variables, jnp.asarray(x))),
            stage.model.sizes,
            policy="append_popularity",
            item_ids=data.item_ids,
            popularity=np.bincount(data.train[:, 1], minlength=data.n_items),
            features=arrays_sha256(x),
        )
        if run.ids != "random":
            return table
        dealt = np.random.default_rng(stages.seed).permutation(data.n_items)
        return dataclasses.replace(table, codes=table.codes[dealt], features="")

    inputs = {"variables": trained.variables[0], "x": x}
    settings = {"model": stage.model, "random": run.ids == "random"}
    table: SidTable = stages.make("ids", make, inputs, settings, kinds=(SidTable,))
    return Ids(table, fitted, figures | {"ids/popularity_tokens": float(table.sizes[-1])})


class TrainedGenerator(NamedTuple):
    """Stage 2, trained."""

    fit: FitResult
    search: Callable[..., Retriever]
    """From `width` and `official` to the search of so many beams."""


def generator_stage(
    run: MMGRecRun, data: Interactions, vectors: Vectors, table: SidTable, stages: Pipeline
) -> TrainedGenerator:
    """Train the generator; its epoch is selected by a constrained search."""
    stage, inputs = run.generator, frozen(vectors, table)
    o, history = stage.optim, user_histories(data, stage.optim.length)
    with user_errors():
        model = mmgrec.build(stage.model, inputs, table.sizes, history, width=run.select_width)
        source = subset_source(
            data.train,
            data.n_users,
            data.n_items,
            o.batch_size,
            length=o.length,
            targets=o.targets,
            exclude_targets=o.source_excludes_target,
            redraw=o.redraw,
        )
    evaluate = search_evaluator(run, data, "valid", run.select_width)
    fitted = stages.train(
        "generator",
        model.objective,
        source,
        optimiser(o, source.steps_per_epoch, epochs=stage.fit.epochs),
        {"model": stage.model, "optim": o, "select_width": run.select_width},
        validate=lambda p, state, key: ranked(evaluate(model.retriever, {"params": p, **state})),
        config=stage.fit,
        inputs=inputs._asdict(),
    )
    network = mmgrec.generator(stage.model, table.sizes, inputs.items.shape[1])
    return TrainedGenerator(fitted, partial(mmgrec.id_retriever, network, inputs, history))


def frozen(vectors: Vectors, table: SidTable) -> mmgrec.Inputs:
    """What the generator reads, on the device."""
    return mmgrec.Inputs(
        jnp.asarray(vectors.items), jnp.asarray(vectors.users), jnp.asarray(table.codes)
    )


def user_histories(data: Interactions, length: int) -> Int[jax.Array, "u s"]:
    """Items of every user in training; of more than `length` a fixed random part, then -1."""
    known = histories(data.train, data.n_users, data.n_items)
    users = jnp.arange(data.n_users, dtype=jnp.int32)
    # The draw of `subset_source` without redrawing, so that the released form sees its sources.
    order = shuffled(jax.random.key(0), known)
    return some_items(order, users, 0 * users, counts(known, users), length=length)


class SavedGenerator(NamedTuple):
    """A generator from a run's folder, with what it needs to recommend."""

    model: mmgrec.Generator
    variables: Variables
    inputs: mmgrec.Inputs
    table: SidTable
    settings: dict[str, Any]
    """Of the generator's stage: its model, its optimiser."""
    about: dict[str, Any]
    """Name, smoke form and digest of the data."""


def load_generator(workdir: Path) -> SavedGenerator:
    """The best generator of a run's folder, of the first seed, or of that of one seed.

    Raises:
        UserError: the folder holds no run of MMGRec that has come as far, or a damaged one.
    """
    seeds = sorted(workdir.glob("seed_*"), key=lambda p: (len(p.name), p.name))
    folder = workdir if (workdir / "generator").exists() or not seeds else seeds[0]
    try:
        best = load_stage(folder, "generator")
        table = load_stage(folder, "ids", (SidTable,))
        vectors = load_stage(folder, "vectors", (Vectors,))
        saved_run = best.description["run"]
        settings, about = saved_run["settings"], saved_run["identity"]
        config = GeneratorConfig(**settings["model"])
    except FileNotFoundError as error:
        raise UserError(f"{error}; train there first") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder} does not hold a run of MMGRec ({error})") from error
    inputs = frozen(vectors, table)
    model = mmgrec.generator(config, table.sizes, inputs.items.shape[1])
    variables = jax.tree.map(jnp.asarray, best.variables[0])
    return SavedGenerator(model, variables, inputs, table, settings, about)


def top(
    generator: SavedGenerator,
    data: Interactions,
    users: np.ndarray,
    *,
    k: int = 10,
    include_seen: bool = False,
) -> TopK:
    """The k best items of some distinct users, by a constrained search of 50 beams or more."""
    history = user_histories(data, generator.settings["optim"]["length"])
    width = max(50, k)
    retriever = mmgrec.id_retriever(generator.model, generator.inputs, history, width=width)
    exclude = None if include_seen else seen_rows(data, users)
    queries = users.astype(np.int32)
    return retrieve(retriever, generator.variables, queries, k=k, exclude=exclude)


def recommend(flags: Recommend) -> str:
    """Top-K with names from a run's folder; scores are log-probabilities of the ids.

    Raises:
        UserError: no trained generator in the workdir, data that have changed since, no such user,
            k below 1, or an output of unknown ending.
    """
    flags.check()
    generator = load_generator(flags.workdir)
    run = dataclasses.replace(
        preset(flags.data or generator.about["data"]),
        smoke=generator.about["smoke"],
        data_dir=flags.data_dir,
        manual_dir=flags.manual_dir,
    )
    with user_errors():
        data = load_data(run.recommender())
    if data.digest != generator.about["digest"]:
        raise UserError(
            f"{data.name} has changed since {flags.workdir} was trained: its ids would name other "
            "items; train again"
        )
    users = flags.choose(data)
    found = top(generator, data, users, k=flags.k, include_seen=flags.include_seen)
    return finish(result_rows(data, users, found), flags.out)


def ablate(flags: Ablate) -> str:
    """Train every form of the ablation on the same seeds; the table, see `analysis.ablate`."""
    return analysis.ablate(flags, run_method)


def tables() -> Path:
    """Fill README.md."""
    return readme.fill(analysis.FOLDER, analysis.bodies())
