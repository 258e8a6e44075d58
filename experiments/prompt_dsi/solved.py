"""IncDSI as a method: rows of new documents that are solved for, and the search for its margins."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.prompt_dsi.config import IncDSI, PromptDSI
from experiments.prompt_dsi.problem import Problem, features
from experiments.prompt_dsi.stages import Trained
from mmjax.blocks.quantisation import topics
from mmjax.blocks.ranking.topk import top_k
from mmjax.evaluation.continual import f_beta
from mmjax.evaluation.gallery import gold_task, hits_and_mrr
from mmjax.models.retrieval import incdsi
from mmjax.models.retrieval.prompt_dsi.stages import rows_stage


def margins_of(config: IncDSI) -> incdsi.Margins:
    """As the solver takes them."""
    return incdsi.Margins(config.balance, config.new, config.old, config.decay)


def means(config: PromptDSI, problem: Problem, done: Trained, number: int) -> jax.Array:
    """The mean feature vector of the first training queries of each document of a session."""
    rows = problem.corpus.asking(number, "train", "generated")
    document = problem.corpus.document[rows]
    order = np.argsort(document, kind="stable")
    rows, document = rows[order], document[order]
    kept = np.arange(len(rows)) - np.searchsorted(document, document) < config.incdsi.queries
    rows, document = rows[kept], document[kept]
    first, stop = problem.corpus.rows(number)
    x = features(config.model, problem, done.weights, rows).features
    return topics.topic_embeddings(x, jnp.asarray(document - first), stop - first)


def cached_queries(config: PromptDSI, problem: Problem, done: Trained) -> jax.Array:
    """Room for the cached query of every document, those of the first corpus filled in."""
    found = means(config, problem, done, 0)
    return jnp.zeros_like(done.weights["rows"]).at[: len(found)].set(found)


def solve(
    config: PromptDSI, problem: Problem, done: Trained, number: int, cached: jax.Array
) -> tuple[Trained, jax.Array]:
    """A row for each new document, one after the other, and the table with their queries."""
    old, stop = problem.corpus.rows(number)
    began = time.perf_counter()
    new, rows = means(config, problem, done, number), done.weights["rows"]
    margins = margins_of(config.incdsi)
    after, cached, _ = incdsi.append_jit(rows, cached, old, new, rows[old:stop], margins)
    jax.block_until_ready(after)
    seconds = time.perf_counter() - began
    stage = rows_stage(old, stop - old)
    return Trained(stage, done.weights | {"rows": after}, seconds), cached


def choose(
    config: PromptDSI, problem: Problem, done: Trained, cached: jax.Array, seed: int
) -> IncDSI:
    """The best of `IncDSI.trials` random margins, those of `config` among them.

    Each solves the first new corpus; what counts is the F measure of validation MRR@10, of the
    first corpus and of that one.
    """
    old, stop = problem.corpus.rows(1)
    new, rows = means(config, problem, done, 1), done.weights["rows"]
    queries = [problem.corpus.asking(number, "valid") for number in (0, 1)]
    vectors = [features(config.model, problem, done.weights, q).features for q in queries]
    tasks = [gold_task(problem.corpus.document[q], stop) for q in queries]
    best, most = config.incdsi, -1.0
    for trial in (config.incdsi, *draws(config.incdsi, seed)):
        table, _, _ = incdsi.append_jit(rows, cached, old, new, rows[old:stop], margins_of(trial))
        before, after = (
            hits_and_mrr(task, top_k(x @ table[:stop].T, 10)[1], ks=(10,))["mrr@10"]
            for x, task in zip(vectors, tasks, strict=True)
        )
        value = float(f_beta(after, before, beta=config.beta))
        if value > most:
            best, most = trial, value
    return best


def draws(start: IncDSI, seed: int) -> list[IncDSI]:
    """Margins from the ranges that IncDSI's authors search (arXiv 2307.10323), one trial fewer
    than there are."""
    rng = np.random.default_rng(seed)
    return [
        dataclasses.replace(
            start,
            balance=float(rng.uniform(0.05, 0.95)),
            new=float(rng.uniform(0.0, 8.0)),
            old=float(rng.uniform(0.0, 8.0)),
            decay=float(10.0 ** rng.uniform(-10.0, -3.0)),
        )
        for _ in range(start.trials - 1)
    ]
