"""All stages of MMGRec for every seed, and the record of the last one."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.problem import load_data
from experiments.common.seeds import Judge, Outcome, Parts, joined, train_seeds
from experiments.mmgrec.config import MMGRec, StageRun, shrink
from experiments.mmgrec.evaluation import Searches
from experiments.mmgrec.optimise import optimiser
from experiments.mmgrec.stages import (
    GraphStage,
    Ids,
    Vectors,
    graph_run,
    graph_stage,
    quantiser_stage,
)
from mmjax.data.core.interactions import Interactions
from mmjax.data.io.files import atomic_path
from mmjax.data.io.readers import read_npz
from mmjax.models.generative import mmgrec
from mmjax.models.generative.mmgrec.config import GeneratorConfig
from mmjax.semantic_ids.table import SidTable, arrays_sha256
from mmjax.training.best import load_best
from mmjax.training.sources.subsets import history_source

SIDS, VECTORS, GENERATOR = "sids.npz", "vectors.npz", "generator"


class Trained(NamedTuple):
    """A generator with what it needs to recommend."""

    model: mmgrec.Generator
    params: Any
    inputs: mmgrec.Inputs
    table: SidTable
    settings: dict[str, Any]
    """What was run, as config.json keeps it."""


def run(
    config: MMGRec,
    *,
    data: Interactions | None = None,
    test: bool = True,
    graphs: Path | None = None,
) -> Outcome:
    """Train all stages of every seed, then score test once.

    Args:
        config: what to run. With a workdir every stage is saved there and resumed from there.
        data: the data set, when it is loaded already.
        test: False leaves the test split alone.
        graphs: folder of the graph stages, where runs that share them find them; None is that of
            the seed.

    Raises:
        DataError: the data are missing or broken.
        ValueError: the configuration does not fit the data or the workdir's earlier run.
        Interrupted: SIGTERM or SIGINT came; finished stages are not repeated by the same call.
    """
    data = load_data(graph_run(config)) if data is None else data
    small = shrink(config) if config.smoke else config
    outcomes = []
    for seed in config.seed_list():
        folder = config.workdir and config.workdir / f"seed_{seed}"
        place = graphs / f"seed_{seed}" if graphs else folder and folder / "graph"
        graph = graph_stage(small, data, seed, place, test=test)
        ids = quantiser_stage(small, data, graph, seed, folder and folder / "rq_vae")
        if folder is not None:
            ids.table.save(folder / SIDS)
            _save_vectors(graph.vectors, folder / VECTORS)
        outcome = generator_stage(small, data, graph.vectors, ids.table, seed, folder, test=test)
        outcomes.append(_with_earlier(outcome, graph, ids))
    return joined(outcomes, config.identity() | {"data_digest": data.digest})


def generator_stage(
    config: MMGRec,
    data: Interactions,
    vectors: Vectors,
    table: SidTable,
    seed: int,
    workdir: Path | None,
    *,
    test: bool,
) -> Outcome:
    """Train the generator of one seed; its epoch is selected by a constrained search.

    Raises:
        Interrupted: a signal came.
    """
    stage = config.generator
    inputs = frozen(vectors, table)
    model = mmgrec.generator(stage.model, table.sizes, vectors.items.shape[1])
    settings = {
        "data": config.data,
        "digest": data.digest,
        "smoke": config.smoke,
        "generator": stage,
        "select_width": config.select_width,
        "inputs": arrays_sha256(*map(np.asarray, inputs)),
    }
    length = stage.optim.length
    validation = Searches(data, ("valid",), model, inputs, length=length)
    searches = Searches(data, ("valid", "test"), model, inputs, length=length)

    def watch(variables: Any) -> dict[str, float]:
        return validation.scores(variables, "valid", width=config.select_width, ks=config.ks)

    def judge(split: str) -> Judge:
        return lambda variables: all_scores(searches, variables, split, config)

    o = stage.optim
    source = history_source(
        data.train,
        data.n_users,
        data.n_items,
        o.batch_size,
        length=o.length,
        targets=o.targets,
        exclude_targets=o.source_excludes_target,
        redraw=o.redraw,
    )
    parts = Parts(
        data=data,
        mask="mmrec",
        objective=mmgrec.build(stage.model, inputs, table.sizes, validation.history).objective,
        source=source,
        optimiser=optimiser(o),
        watch=watch,
        judge=judge,
    )
    folder = workdir and workdir / GENERATOR
    return train_seeds(StageRun("mmgrec", settings, stage.fit, seed, folder), parts, test=test)


def all_scores(searches: Searches, variables: Any, split: str, config: MMGRec) -> dict[str, float]:
    """Metrics of all reported searches: the widest without a prefix, ``beam10/...`` and the like,
    ``official/...``."""
    found = {}
    for width in sorted(config.widths):
        scores = searches.scores(variables, split, width=width, ks=config.ks)
        found |= {f"beam{width}/{name}": x for name, x in scores.items()}
        if width == max(config.widths):
            found |= scores
    official = searches.scores(
        variables, split, width=config.official_width, ks=config.ks, official=True
    )
    return found | {f"official/{name}": x for name, x in official.items()}


def frozen(vectors: Vectors, table: SidTable) -> mmgrec.Inputs:
    """What the generator reads, on the device."""
    return mmgrec.Inputs(
        jnp.asarray(vectors.items), jnp.asarray(vectors.users), jnp.asarray(table.codes)
    )


def _with_earlier(outcome: Outcome, graph: GraphStage, ids: Ids) -> Outcome:
    """The outcome of the generator with the figures and seconds of the stages before it."""
    record = outcome.record
    valid = dict(record.valid) | {name: [round(x, 6)] for name, x in ids.numbers.items()}
    test, seconds, history = dict(record.test), record.seconds + ids.seconds, outcome.history
    if graph.outcome is not None:
        first = graph.outcome.record
        valid |= {f"graph/{name}": x for name, x in first.valid.items()}
        test |= {f"graph/{name}": x for name, x in first.test.items()}
        seconds += first.seconds
    record = dataclasses.replace(record, valid=valid, test=test, seconds=round(seconds, 1))
    return outcome._replace(record=record, history=history)


def _save_vectors(vectors: Vectors, path: Path) -> None:
    with atomic_path(path) as unfinished, Path(unfinished).open("wb") as file:
        np.savez(file, **vectors._asdict())


def load_trained(folder: Path) -> Trained:
    """The best generator of one seed's folder.

    Raises:
        CheckpointError: no checkpoint of the generator.
        DataError, FileNotFoundError: the ids or vectors are missing or broken.
        ValueError: the folder holds no run of MMGRec.
    """
    best = load_best(folder / GENERATOR)
    try:
        settings = best.description["run"]["settings"]
        config = GeneratorConfig(**settings["generator"]["model"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder} does not hold a run of MMGRec ({error!r})") from error
    table = SidTable.load(folder / SIDS)
    stored = read_npz(folder / VECTORS, Vectors._fields)
    inputs = frozen(Vectors(*(stored[name] for name in Vectors._fields)), table)
    model = mmgrec.generator(config, table.sizes, inputs.items.shape[1])
    params = jax.tree.map(jnp.asarray, best.variables[0]["params"])
    return Trained(model, params, inputs, table, settings)
