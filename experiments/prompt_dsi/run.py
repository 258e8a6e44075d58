"""A method on all corpora of every seed: matrices of scores, and the record."""

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.results import Record, environment
from experiments.prompt_dsi.config import PROMPTED, PromptDSI, shrink
from experiments.prompt_dsi.evaluation import KS, METRICS, measures
from experiments.prompt_dsi.problem import Problem, load_corpus, load_problem
from experiments.prompt_dsi.solved import cached_queries, choose, solve
from experiments.prompt_dsi.stages import Trained, first_stage, later_stage
from experiments.prompt_dsi.topics import find_topics
from mmjax.blocks.attention.prompt_pool import usage
from mmjax.data.core.continual import ContinualCorpus
from mmjax.evaluation.continual import rows_of_new
from mmjax.evaluation.gallery import gold_task, hits_and_mrr
from mmjax.evaluation.ranking import rank
from mmjax.models.retrieval import prompt_dsi
from mmjax.retriever import numbered

_entries = jax.jit(prompt_dsi.chosen_entries, static_argnums=0)


class Outcome(NamedTuple):
    """A finished run."""

    record: Record
    matrices: list[list[list[dict[str, float]]]]
    """By seed and stage, the test scores of each corpus so far."""
    trained: list[Trained]
    """The last stage of each seed."""


def run(config: PromptDSI, *, corpus: ContinualCorpus | None = None) -> Outcome:
    """Index all corpora for every seed; after each, score the test queries of all so far.

    Args:
        config: what to run. With a workdir every stage is saved there and resumed from there.
        corpus: the data, when they are loaded already; they are then the same for all seeds.

    Raises:
        DataError, WeightsError: data or encoder are missing or broken.
        ValueError: the configuration does not fit the data or the workdir's earlier run.
        Interrupted: a signal came; finished stages are not repeated by the same call.
    """
    small = shrink(config) if config.smoke else config
    outcomes = []
    for seed in config.seed_list():
        folder = config.workdir and config.workdir / f"seed_{seed}"
        base = config.base and config.base / f"seed_{seed}"
        outcomes.append(_one(small, corpus, seed, folder, base))
    records = [o.record for o in outcomes]
    first = records[0]
    tables = {
        split: {n: [getattr(r, split)[n][0] for r in records] for n in getattr(first, split)}
        for split in ("valid", "test")
    }
    whole = (
        vars(first)
        | tables
        | {
            "seeds": list(config.seed_list()),
            "seconds": round(sum(r.seconds for r in records), 1),
            "config": config.identity() | {"data_digest": first.config["data_digest"]},
        }
    )
    return Outcome(
        Record(**whole),
        [m for o in outcomes for m in o.matrices],
        [t for o in outcomes for t in o.trained],
    )


def _one(
    config: PromptDSI,
    corpus: ContinualCorpus | None,
    seed: int,
    folder: Path | None,
    base: Path | None,
) -> Outcome:
    config = dataclasses.replace(config, seed=seed, seeds=1)
    corpus = load_corpus(config) if corpus is None else corpus
    problem = load_problem(config, corpus)
    done = first_stage(config, problem, seed, base or (folder and folder / "stage_0"))
    matrix = [[_scores(config, problem, done, 0)[0]]]
    seconds, tables, keys = [], None, None
    if config.method == "incdsi":
        tables = cached_queries(config, problem, done)
        chosen = choose(config, problem, done, tables, seed)
        config = dataclasses.replace(config, incdsi=chosen)
    if config.method == "topic":
        topics_found = find_topics(config, problem, done.weights, seed)
        keys = topics_found.keys
        # HDBSCAN finds how many there are.
        sized = dataclasses.replace(config.model, pool=len(keys))
        config = dataclasses.replace(config, model=sized)
        if folder is not None:
            topics_found.save(folder / "topics.json")
    for number in range(1, corpus.n_sessions):
        if tables is not None:
            done, tables = solve(config, problem, done, number, tables)
        else:
            place = folder and folder / f"stage_{number}"
            done = later_stage(config, problem, number, done, seed, place, keys)
        seconds.append(done.seconds)
        found = [_scores(config, problem, done, n) for n in range(number + 1)]
        matrix.append([s for s, _ in found])
        first = found[0][1]
    figures = measures(matrix)
    figures |= rows_of_new(np.asarray(first), corpus.rows(0)[1], np.asarray(done.weights["rows"]))
    figures |= {"seconds/stage": float(np.mean(seconds)), "seconds/epoch": done.seconds_per_epoch}
    if config.method in PROMPTED and config.model.prompts != "coda":
        queries = problem.ids[problem.asking(range(corpus.n_sessions), "test")]
        used = usage(_chosen(config, problem, done, queries), config.model.pool)
        figures |= {f"pool/{name}": float(x) for name, x in used._asdict().items()}
    for t, row in enumerate(matrix):
        figures |= {f"hits@10/P{t}{i}": s["hits@10"] for i, s in enumerate(row)}
    ends = [_scores(config, problem, done, n, "valid")[0] for n in range(corpus.n_sessions)]
    valid = {f"{m}/P{n}": [round(s[m], 6)] for n, s in enumerate(ends) for m in METRICS}
    valid |= {f"{m}/A": [round(float(np.mean([s[m] for s in ends])), 6)] for m in METRICS}
    record = Record(
        method=config.method,
        data=corpus.name,
        split=corpus.split,
        mask="none",
        seeds=[seed],
        valid=valid,
        test={name: [round(x, 6)] for name, x in figures.items()},
        best_epoch=[],
        epochs=[],
        seconds=round(sum(seconds), 1),
        parameters=_trained_parameters(config, problem, done),
        config={"data_digest": corpus.digest},
        seconds_per_epoch=round(done.seconds_per_epoch, 4),
        **environment(),
    )
    return Outcome(record, [matrix], [done])


def _scores(
    config: PromptDSI,
    problem: Problem,
    done: Trained,
    number: int,
    part: Literal["valid", "test"] = "test",
) -> tuple[dict[str, float], jax.Array]:
    """Metrics of a corpus's queries, and the documents found for them."""
    queries = problem.corpus.asking(number, part)
    learner = prompt_dsi.Learner(config.model, problem.encoder, done.stage)
    retriever = numbered(prompt_dsi.weights_retriever(learner), jnp.asarray(problem.ids[queries]))
    gold = problem.corpus.document[queries]
    task = gold_task(gold, retriever.n_candidates, batch_size=retriever.chunk)
    ids = rank(retriever, done.weights, task, k=max(KS)).ids
    return hits_and_mrr(task, ids, ks=KS), ids


def _chosen(config: PromptDSI, problem: Problem, done: Trained, queries: np.ndarray) -> jax.Array:
    """Entries of the pool that queries get."""
    learner = prompt_dsi.Learner(config.model, problem.encoder, done.stage)
    steps = [queries[n : n + prompt_dsi.CHUNK] for n in range(0, len(queries), prompt_dsi.CHUNK)]
    return jnp.concatenate([_entries(learner, done.weights, jnp.asarray(x)) for x in steps])


def _trained_parameters(config: PromptDSI, problem: Problem, done: Trained) -> int:
    """Numbers that the last stage moved."""
    first, stop = done.stage.rows
    total = (stop - first) * problem.encoder.config.width
    if done.stage.encoder:
        total += sum(x.size for x in jax.tree.leaves(done.weights["encoder"]))
    share = (done.stage.entries[1] - done.stage.entries[0]) / config.model.pool
    return total + round(sum(done.weights["pool"][n].size * share for n in done.stage.trained))
