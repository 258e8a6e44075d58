"""One stage after the other: what each method does when a corpus arrives.

Axes: n rows, w width, q queries.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.seeds import Interrupted
from experiments.prompt_dsi.config import PROMPTED, PromptDSI, Training
from experiments.prompt_dsi.problem import Problem, optimiser
from mmjax.blocks.losses import ewc, incremental_classifier
from mmjax.evaluation.continual import f_beta
from mmjax.evaluation.gallery import gold_task
from mmjax.evaluation.ranking import rank, ranking_metrics
from mmjax.models.retrieval import prompt_dsi
from mmjax.models.retrieval.prompt_dsi.stages import (
    Stage,
    Weights,
    initial_stage,
    join,
    new_pool,
    new_rows,
    prompt_stage,
    rows_stage,
    tuning_stage,
)
from mmjax.objective import Variables
from mmjax.retriever import index_of, numbered
from mmjax.training.fit import fit
from mmjax.training.sources.pairs import rows_source


class Trained(NamedTuple):
    """Where a stage ends."""

    stage: Stage
    weights: Weights
    seconds: float
    seconds_per_epoch: float = 0.0
    anchor: prompt_dsi.Consolidation | None = None
    """For elastic weight consolidation, over all rows."""


def start(config: PromptDSI, problem: Problem, seed: int) -> Weights:
    """Encoder and room for all rows, drawn from the seed where nothing is published."""
    k_encoder, k_rows = jax.random.split(jax.random.key(seed))
    encoder, n = problem.encoder, problem.corpus.n_documents
    params = problem.params
    if params is None:
        params = jax.jit(encoder.init)(k_encoder, jnp.zeros((1, 1), jnp.int32))["params"]
    return {"encoder": params, "rows": new_rows(k_rows, n, encoder.config.width)}


def first_stage(config: PromptDSI, problem: Problem, seed: int, workdir: Path | None) -> Trained:
    """Train encoder and rows on the first corpus, without prompts."""
    stage = initial_stage(problem.corpus.rows(0)[1])
    rows = problem.asking(range(1), "train", "generated")
    weights = start(config, problem, seed)
    settings = config.first_identity() | {"data_digest": problem.corpus.digest}
    return train(config, config.first, problem, stage, weights, rows, 0, seed, workdir, settings)


def later_stage(
    config: PromptDSI,
    problem: Problem,
    number: int,
    before: Trained,
    seed: int,
    workdir: Path | None,
    keys: jax.Array | None = None,
) -> Trained:
    """Take in corpus `number` by the run's method, from where the stage before it ended.

    Args:
        config: the run.
        problem: its corpora and encoder.
        number: of the corpus, from 1.
        before: where the stage before it ended.
        seed: of what is drawn.
        workdir: folder of the stage.
        keys: of a topic pool.

    Raises:
        Interrupted: a signal came; the same call resumes.
    """
    corpus, method = problem.corpus, config.method
    old, stop = corpus.rows(number)
    rows = corpus.asking(number, "train", "generated")
    weights, anchor = before.weights, None
    if method in PROMPTED:
        if "pool" not in weights:
            weights = weights | {"pool": _pool(config, problem, keys, seed)}
        stage = prompt_stage(config.model, number, corpus.n_sessions - 1, old, stop - old)
    elif method == "classifier":
        stage = rows_stage(old, stop - old)
    else:
        stage = tuning_stage(old, stop - old)
        if method == "replay":
            rows = np.concatenate([_kept(config, problem, number, seed), rows])
        elif method == "joint":
            rows = problem.asking(range(number + 1), "train", "generated")
            weights = start(config, problem, seed)
        elif method == "ewc":
            anchor = _hold(config, problem, before, number, stop, seed)
    settings = config.identity() | {"data_digest": corpus.digest, "stage": number}
    o = config.later
    done = train(
        config, o, problem, stage, weights, rows, number, seed, workdir, settings, anchor=anchor
    )
    return done._replace(anchor=anchor)


def train(
    config: PromptDSI,
    training: Training,
    problem: Problem,
    stage: Stage,
    weights: Weights,
    rows: np.ndarray,
    number: int,
    seed: int,
    workdir: Path | None,
    settings: dict[str, Any],
    *,
    anchor: prompt_dsi.Consolidation | None = None,
) -> Trained:
    """Train one stage; its epoch is selected on validation queries of the first and the newest.

    Raises:
        Interrupted: a signal came; the same call resumes.
    """
    validation = problem.asking(range(0, number + 1, max(number, 1)), "valid")
    gold = problem.corpus.document[validation]
    is_new = problem.corpus.session[gold] == number
    task = problem.task(rows)
    model = prompt_dsi.build(config.model, problem.encoder, stage, weights, task, anchor=anchor)
    retriever = numbered(model.retriever, jnp.asarray(problem.ids[validation]))
    asking = gold_task(gold, retriever.n_candidates, batch_size=retriever.chunk)

    def evaluate(params: Any, extra: Any, key: jax.Array) -> dict[str, float]:
        variables: Variables = {"params": params, **extra}
        ids = rank(retriever, index_of(retriever, variables), asking, k=10).ids
        # One document is right, which makes average precision its reciprocal rank.
        mrr = np.asarray(ranking_metrics(asking, ids, ks=(10,))["map@10"], np.float64)
        new = float(mrr[is_new].mean())
        old = new if number == 0 else float(mrr[~is_new].mean())
        both = float(f_beta(new, old, beta=config.beta))
        return {"mrr@10/new": new, "mrr@10/old": old, "f_beta": both}

    result = fit(
        model.objective,
        rows_source(len(rows), training.batch_size),
        optimiser(training),
        evaluate,
        training.fit,
        seeds=(seed,),
        workdir=workdir,
        run_config=settings,
    )
    if result.stopped_because == "signal":
        raise Interrupted("stopped by a signal; the same command resumes")
    best = jax.tree.map(jnp.asarray, result.variables[0])
    done = join(stage, best["params"], best["frozen"])
    # A stopped and resumed run goes on counting its time.
    seconds = result.history[-1]["elapsed"]
    return Trained(stage, done, seconds, result.seconds_per_epoch)


def _pool(config: PromptDSI, problem: Problem, keys: jax.Array | None, seed: int) -> dict[str, Any]:
    key = jax.random.fold_in(jax.random.key(seed), 1)
    return new_pool(key, config.model, problem.encoder, keys)


def _kept(config: PromptDSI, problem: Problem, number: int, seed: int) -> np.ndarray:
    """Some training queries of every earlier document, the same at every stage."""
    rows = problem.asking(range(number), "train", "generated")
    rows = np.random.default_rng(seed).permutation(rows)
    order = np.argsort(problem.corpus.document[rows], kind="stable")
    rows = rows[order]
    document = problem.corpus.document[rows]
    first = np.searchsorted(document, document)
    return rows[np.arange(len(rows)) - first < config.replay]


def _hold(
    config: PromptDSI, problem: Problem, before: Trained, number: int, stop: int, seed: int
) -> prompt_dsi.Consolidation:
    """The parameters as they are, weighed by what mattered to the corpora so far."""
    model, encoder, count = config.model, problem.encoder, before.stage.count
    rows = problem.corpus.asking(number - 1, "train", "generated")
    drawn = np.random.default_rng([seed, number]).permutation(rows)[: config.fisher]
    examples = jnp.asarray(problem.ids[drawn]), jnp.asarray(problem.corpus.document[drawn])
    anchor = {"encoder": before.weights["encoder"], "rows": before.weights["rows"][:stop]}

    def loss(params: Any, example: tuple[jax.Array, jax.Array]) -> jax.Array:
        ids, row = example
        encoded = prompt_dsi.encode(model, encoder, params, ids[None])
        logits = encoded.features @ params["rows"].T
        return incremental_classifier.cross_entropy(
            logits, row[None], incremental_classifier.between(stop, 0, count)
        )[0]

    fisher = jax.jit(functools.partial(ewc.diagonal_fisher, loss, at_once=8))(anchor, examples)
    if before.anchor is not None:
        room = stop - before.anchor.fisher["rows"].shape[0]
        old = before.anchor.fisher | {
            "rows": jnp.pad(before.anchor.fisher["rows"], ((0, room), (0, 0)))
        }
        fisher = ewc.accumulate(fisher, old)
    return prompt_dsi.Consolidation(anchor, fisher)
