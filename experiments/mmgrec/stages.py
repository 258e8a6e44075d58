"""The stages of MMGRec for one seed: vectors, codes, ids; each goes on where it stopped.

Axes: u users, i items, d width of their vectors, f all features, l levels.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from experiments.common.config import Adam, Run
from experiments.common.evaluation import ranker
from experiments.common.problem import build_optimiser, build_source, build_task
from experiments.common.seeds import Judge, Outcome, Parts, train_seeds
from experiments.mmgrec.config import MMGRec, StageRun
from mmjax import semantic_ids
from mmjax.data.core.interactions import Interactions
from mmjax.models.generative import rq_vae
from mmjax.models.generative.mmgrec import stages as mmgrec
from mmjax.objective import Objective
from mmjax.retriever import index_of
from mmjax.semantic_ids.table import SidTable, arrays_sha256
from mmjax.training.sources.pairs import rows_source

_encode = jax.jit(rq_vae.encode, static_argnums=0)


class Vectors(NamedTuple):
    """What the generator reads of users and items."""

    users: Float[np.ndarray, "u d"]
    items: Float[np.ndarray, "i d"]


class Ids(NamedTuple):
    """Item ids and what training their quantiser told."""

    table: SidTable
    numbers: dict[str, float]
    """How codes are used, by slash names."""
    history: list[dict[str, Any]]
    seconds: float


class GraphStage(NamedTuple):
    """What stage 0 leaves."""

    vectors: Vectors
    outcome: Outcome | None
    """None without a graph."""
    codes: Int[np.ndarray, "i l"] | None
    """Where the quantiser was trained with it."""


def graph_run(config: MMGRec) -> Run:
    """Stage 0 as a run of a recommender by inner products."""
    return Run(
        model=config.graph.model,
        data=config.data,
        method="mmgrec_graph",
        optim=config.graph.optim,
        fit=config.graph.fit,
        ks=config.ks,
        smoke=config.smoke,
        data_dir=config.data_dir,
        manual_dir=config.manual_dir,
    )


def graph_stage(
    config: MMGRec, data: Interactions, seed: int, workdir: Path | None, *, test: bool
) -> GraphStage:
    """Vectors by the graph encoder, alone or with the quantiser, or from the features alone.

    Raises:
        Interrupted: a signal came.
    """
    run = graph_run(config)
    if config.vectors == "features":
        width = config.graph.model.out_width
        return GraphStage(feature_vectors(side_by_side(run, data), data, width), None, None)
    task, source = build_task(run, data), build_source(run, data)
    settings = {"data": data.digest, "graph": config.graph, "joint": config.joint}
    if config.joint:
        model = mmgrec.build_joint(config.graph.model, config.quantiser.model, task)
        settings["quantiser"] = config.quantiser.model
    else:
        model = mmgrec.build_graph(config.graph.model, task)

    def judge(split: str) -> Judge:
        rank = ranker(run, data, split, model.retriever)
        return lambda variables: rank(variables).mean

    shown = dataclasses.replace(run, ks=tuple(sorted({*run.ks, 10, 20})))
    watch = ranker(shown, data, "valid", model.retriever)
    parts = Parts(
        data=data,
        mask=run.mask,
        objective=model.objective,
        source=source,
        optimiser=build_optimiser(run.optim, source.steps_per_epoch),
        watch=lambda variables: watch(variables).mean,
        judge=judge,
    )
    stage = StageRun("mmgrec_graph", settings, run.fit, seed, workdir)
    outcome = train_seeds(stage, parts, test=test)
    variables = outcome.variables[0]
    users, items = index_of(model.retriever, variables)
    codes = None
    if config.joint:
        codes = np.asarray(mmgrec.item_codes(config.quantiser.model, variables, items))
    return GraphStage(Vectors(np.asarray(users), np.asarray(items)), outcome, codes)


def side_by_side(run: Run, data: Interactions) -> Float[np.ndarray, "i f"]:
    """The features as stage 0 reads them."""
    return np.asarray(mmgrec.graph_inputs(run.model, build_task(run, data))[0])


def feature_vectors(x: Float[np.ndarray, "i f"], data: Interactions, width: int) -> Vectors:
    """Items as the first principal components of their features, users as means of their items.

    Scaled so that a component of an item has a square of 1 on average. Features of fewer
    dimensions than `width` are filled up with zeros.
    """
    centred = x - x.mean(0)
    u, s, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    items = (u * s)[:, :width]
    items = np.pad(items, ((0, 0), (0, width - items.shape[1])))
    items /= max(np.sqrt(np.square(items).mean()), 1e-12)
    users = np.zeros((data.n_users, width))
    np.add.at(users, data.train[:, 0], items[data.train[:, 1]])
    users /= np.maximum(np.bincount(data.train[:, 0], minlength=data.n_users), 1)[:, None]
    return Vectors(users.astype(np.float32), items.astype(np.float32))


def quantiser_stage(
    config: MMGRec, data: Interactions, graph: GraphStage, seed: int, workdir: Path | None
) -> Ids:
    """Item ids: codes of the vectors or of the features, then the popularity token.

    Popularity counts training pairs alone. Random ids are those of the vectors, dealt anew.

    Raises:
        Interrupted: a signal came.
    """
    quantiser = config.quantiser.model
    source = graph.vectors.items
    if config.ids == "features":
        source = side_by_side(graph_run(config), data)
    digest = arrays_sha256(source)
    if graph.codes is not None:
        codes, numbers, history, seconds = graph.codes, {}, [], 0.0
    else:
        settings = {"data": data.digest, "quantiser": config.quantiser, "vectors": digest}
        stage = StageRun("mmgrec_rq_vae", settings, config.quantiser.fit, seed, workdir)
        objective = rq_vae.build(quantiser, source)
        outcome = train_seeds(stage, _quantiser_parts(config, data, objective, source), test=False)
        codes = np.asarray(_encode(quantiser, outcome.variables[0], source))
        numbers = {name: values[0] for name, values in outcome.record.valid.items()}
        history, seconds = outcome.history, outcome.record.seconds
    table = semantic_ids.assign(
        codes,
        quantiser.sizes,
        policy="append_popularity",
        item_ids=data.item_ids,
        popularity=np.bincount(data.train[:, 1], minlength=data.n_items),
        features=digest,
    )
    if config.ids == "random":
        dealt = np.random.default_rng(seed).permutation(data.n_items)
        table = dataclasses.replace(table, codes=table.codes[dealt], features="")
    numbers = numbers | {"ids/popularity_tokens": float(table.sizes[-1])}
    return Ids(table, numbers, history, seconds)


def _quantiser_parts(
    config: MMGRec, data: Interactions, objective: Objective, source: np.ndarray
) -> Parts:
    measure = rq_vae.evaluation(config.quantiser.model, source)
    optim: Adam = config.quantiser.optim
    batches = rows_source(len(source), optim.batch_size)

    def judge(variables: Any) -> dict[str, float]:
        state = {name: x for name, x in variables.items() if name != "params"}
        return measure(variables["params"], state, jax.random.key(0))

    return Parts(
        data=data,
        mask="",
        objective=objective,
        source=batches,
        optimiser=build_optimiser(optim, batches.steps_per_epoch),
        watch=judge,
        judge=lambda split: judge,
    )
