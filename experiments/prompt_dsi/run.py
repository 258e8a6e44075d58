"""PromptDSI and its rivals: the first corpus, then the later ones by a method; search, tables.

Axes: n rows, q queries, s tokens of a query, w width.
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.common import readme
from experiments.common.recommend import finish
from experiments.prompt_dsi import analysis
from experiments.prompt_dsi.analysis import (
    TRAIN,
    Problem,
    load_problem,
    scores,
    validation,
)
from experiments.prompt_dsi.config import PROMPTED, CorporaRun, Encoder, Search
from mmjax.blocks.quantisation.topics import topic_embeddings
from mmjax.blocks.ranking.topk import top_k
from mmjax.data.core.continual import first_of_each
from mmjax.data.io.files import atomic_write_text
from mmjax.encoders.text.topics import Topics, vector_topics
from mmjax.errors import UserError, user_errors
from mmjax.evaluation.continual import f_beta
from mmjax.evaluation.gallery import gold_task, hits_and_mrr
from mmjax.models.retrieval import incdsi, prompt_dsi
from mmjax.models.retrieval.prompt_dsi import CorpusStage, PromptDSIConfig, Weights
from mmjax.retriever import retrieve
from mmjax.training.config import to_json
from mmjax.training.optim import optimiser
from mmjax.training.parallel import init
from mmjax.training.pipeline import Pipeline
from mmjax.training.run_config import override
from mmjax.training.seeds import RunResult, merge_seeds
from mmjax.training.sources.pairs import rows_source
from mmjax.training.stages import load_stage


class CorpusSetup(NamedTuple):
    """Where the training on one corpus starts."""

    number: int
    """Of the corpus."""
    stage: CorpusStage
    weights: Weights
    queries: Int[np.ndarray, "_"]
    """Training queries by number."""
    anchor: prompt_dsi.Consolidation | None = None


class Solving(NamedTuple):
    """What IncDSI needs beside the rows."""

    queries: Float[jax.Array, "n w"]
    """The cached query of each row's document."""
    margins: incdsi.Margins


class Trained(NamedTuple):
    """Where a stage ends."""

    stage: CorpusStage
    weights: Weights
    memory: Any = None
    """What the method hands on beside the weights: `Solving`, or the importance of EWC."""


class Index(NamedTuple):
    """All that answers queries of a finished run."""

    model: PromptDSIConfig
    encoder: dict[str, Any]
    """Fields of `config.Encoder`."""
    stage: CorpusStage
    weights: Weights
    titles: list[str]


INDEX_KINDS = (Index, CorpusStage, PromptDSIConfig)


def train(config: CorporaRun) -> None:
    """Index all corpora for every seed, print scores and measures, write the record."""
    init()
    record = run(config).record
    print(analysis.summary(record))
    if config.workdir is not None:
        record.save(config.workdir / "record.json")
        print(f"record: {config.workdir / 'record.json'}")


def run(config: CorporaRun) -> RunResult:
    """`run_seed` for every seed of the run.

    Raises:
        UserError: data or encoder are missing or broken, or the configuration does not fit the
            data or the workdir's earlier run.
        Interrupted: a signal came; finished stages are not repeated by the same call.
    """
    seeds = config.seed_list()
    results = [run_seed(dataclasses.replace(config, seed=seed, seeds=1)) for seed in seeds]
    return merge_seeds(results, config.identity() | results[0].record.config)


def run_seed(config: CorporaRun) -> RunResult:
    """Index one corpus after the other; after each, score the test queries of all so far."""
    with mendable():
        problem = load_problem(config)
    corpus, digest = problem.corpus, {"data_digest": problem.corpus.digest}
    print(f"{corpus}\n", flush=True)
    folder = config.workdir and config.workdir / f"seed_{config.seed}"
    place, shared = config.base or folder, config.base is not None
    base = Pipeline(place, seed=config.seed, identity=digest, shared=shared)
    own = Pipeline(folder, seed=config.seed, identity=config.identity() | digest)

    done = first_corpus(problem, base)
    matrix = [scores(problem, done.stage, done.weights, range(1))]
    with mendable():
        problem, done = prepare(problem, own, done)
    for number in range(1, corpus.n_sessions):
        done = next_corpus(problem, own, number, done)
        matrix.append(scores(problem, done.stage, done.weights, range(number + 1)))
    save_index(problem, own, done)
    end = problem, done.stage, done.weights
    stages = [own.records[corpus_name(n)] for n in range(1, corpus.n_sessions)]
    record = analysis.seed_record(*end, analysis.figures_of(*end, matrix), stages)
    return RunResult(record, [done.weights], [], [])


@contextmanager
def mendable() -> Iterator[None]:
    """`user_errors`, for which a missing extra is the user's to mend too."""
    try:
        with user_errors():
            yield
    except ImportError as error:
        raise UserError(str(error)) from error


def corpus_name(number: int) -> str:
    """The name of the stage that takes in a corpus."""
    return f"corpus_{number}"


def start(problem: Problem) -> Weights:
    """Encoder and room for all rows, drawn from the seed where nothing is published."""
    k_encoder, k_rows = jax.random.split(jax.random.key(problem.config.seed))
    network, params = problem.encoder.network, problem.encoder.params
    if params is None:
        params = jax.jit(network.init)(k_encoder, jnp.zeros((1, 1), jnp.int32))["params"]
    rows = prompt_dsi.new_rows(k_rows, problem.corpus.n_documents, network.config.width)
    return {"encoder": params, "rows": rows}


def first_corpus(problem: Problem, base: Pipeline) -> Trained:
    """Train encoder and rows on the first corpus, without prompts."""
    stage = prompt_dsi.initial_stage(problem.corpus.rows(0)[1])
    queries = problem.corpus.queries_of(0, *TRAIN)
    settings = problem.config.first_settings()
    return train_stage(problem, base, CorpusSetup(0, stage, start(problem), queries), settings)


def prepare(problem: Problem, run: Pipeline, done: Trained) -> tuple[Problem, Trained]:
    """The run's method ready for the second corpus: a pool of prompts with keys of topics, or
    IncDSI's cached queries and margins."""
    config, weights, keys = problem.config, done.weights, None
    if config.method == "incdsi":
        cached = run.make("queries", partial(cached_queries, problem), (weights,))
        choose, inputs = partial(best_margins, problem), (weights, cached)
        margins = run.make("margins", choose, inputs, kinds=(incdsi.Margins,))
        return problem, done._replace(memory=Solving(jnp.asarray(cached), margins))
    if config.method not in PROMPTED:
        return problem, done
    if config.method == "topic":
        topics = run.make("topics", partial(first_topics, problem), (weights,), kinds=(Topics,))
        keys = jnp.asarray(topics.keys)
        # HDBSCAN finds how many there are.
        problem = problem._replace(config=override(config, {"model.pool": len(keys)}))
        if run.workdir is not None:
            sized = zip(topics.sizes, topics.words, strict=True)
            content = json.dumps([{"queries": n, "words": words} for n, words in sized], indent=1)
            atomic_write_text(run.workdir / "topics.json", content + "\n")
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    pool = prompt_dsi.new_pool(key, problem.config.model, problem.encoder.network, keys)
    return problem, done._replace(weights=weights | {"pool": pool})


def first_topics(problem: Problem, weights: Weights) -> Topics:
    """Topics of the training queries of the first corpus, as the frozen encoder sees them;
    errors as of `vector_topics`."""
    config, queries = problem.config, problem.corpus.queries_of(0, *TRAIN)
    encoded = problem.encoded(weights, queries)
    x = encoded.query if config.model.topic_feature == "query_layer" else encoded.features
    texts = [problem.corpus.queries[n] for n in queries]
    count = None if config.topics == "hdbscan" else config.model.pool
    return vector_topics(x, texts, count=count, min_count=config.min_count, seed=config.seed)


def next_corpus(problem: Problem, run: Pipeline, number: int, before: Trained) -> Trained:
    """Take in corpus `number`, from 1, by the run's method, from where the one before it ended.

    Raises:
        Interrupted: a signal came; the same call resumes.
    """
    config, corpus, weights = problem.config, problem.corpus, before.weights
    old, stop = corpus.rows(number)
    queries, anchor = corpus.queries_of(number, *TRAIN), None
    if config.method == "incdsi":
        return solve(problem, run, number, before)
    if config.method in PROMPTED:
        last = corpus.n_sessions - 1
        with user_errors():
            stage = prompt_dsi.prompt_stage(config.model, number, last, old, stop - old)
    elif config.method == "classifier":
        stage = prompt_dsi.rows_stage(old, stop - old)
    else:
        stage = prompt_dsi.tuning_stage(old, stop - old)
    if config.method == "replay":
        queries = np.concatenate([replayed(problem, number), queries])
    elif config.method == "joint":
        queries, weights = problem.queries_of(range(number + 1), *TRAIN), start(problem)
    elif config.method == "ewc":
        inputs = {"weights": weights, "earlier": before.memory}
        fisher = run.make(f"fisher_{number}", partial(importance, problem, number), inputs)
        old_weights = {"encoder": weights["encoder"], "rows": weights["rows"][:stop]}
        anchor = prompt_dsi.Consolidation(old_weights, jax.tree.map(jnp.asarray, fisher))
    done = train_stage(problem, run, CorpusSetup(number, stage, weights, queries, anchor))
    return done._replace(memory=anchor and anchor.fisher)


def train_stage(
    problem: Problem, run: Pipeline, setup: CorpusSetup, settings: Any = None
) -> Trained:
    """Train on one corpus; `settings` are those that the pipeline's identity lacks.

    Raises:
        Interrupted: a signal came; the same call resumes.
    """
    number, stage, weights, queries, anchor = setup
    config, network = problem.config, problem.encoder.network
    own = config.later if number else config.first
    task = problem.task(queries)
    model = prompt_dsi.build(config.model, network, stage, weights, task, anchor=anchor)
    source = rows_source(len(queries), own.optim.batch_size)
    result = run.train(
        corpus_name(number),
        model.objective,
        source,
        optimiser(own.optim, source.steps_per_epoch),
        settings,
        validate=validation(problem, number, model.retriever),
        config=own.fit,
        inputs={"weights": weights, "anchor": anchor},
    )
    best = jax.tree.map(jnp.asarray, result.variables[0])
    return Trained(stage, prompt_dsi.join(stage, best["params"], best["frozen"]))


def replayed(problem: Problem, number: int) -> Int[np.ndarray, "_"]:
    """Some training queries of every earlier document, the same at every stage."""
    queries = problem.queries_of(range(number), *TRAIN)
    queries = np.random.default_rng(problem.config.seed).permutation(queries)
    return queries[first_of_each(problem.corpus.document[queries], problem.config.replay)]


def importance(problem: Problem, number: int, weights: Weights, earlier: Any) -> Any:
    """How much encoder and rows mattered to the corpora before `number`."""
    config, corpus = problem.config, problem.corpus
    queries = corpus.queries_of(number - 1, *TRAIN)
    drawn = np.random.default_rng([config.seed, number]).permutation(queries)[: config.fisher]
    (count, room), network = corpus.rows(number), problem.encoder.network
    task = problem.task(drawn)
    own = {"count": count, "room": room, "earlier": earlier}
    return prompt_dsi.importance(config.model, network, weights, task, **own)


def mean_queries(problem: Problem, weights: Weights, number: int) -> Float[jax.Array, "_ w"]:
    """The mean feature vector of the first training queries of each document of a corpus."""
    queries = problem.corpus.queries_of(number, *TRAIN)
    count = problem.config.incdsi.queries
    queries = queries[first_of_each(problem.corpus.document[queries], count)]
    first, stop = problem.corpus.rows(number)
    document = jnp.asarray(problem.corpus.document[queries] - first)
    return topic_embeddings(problem.encoded(weights, queries).features, document, stop - first)


def cached_queries(problem: Problem, weights: Weights) -> Float[jax.Array, "n w"]:
    """Room for the cached query of every document, those of the first corpus filled in."""
    means = mean_queries(problem, weights, 0)
    return jnp.zeros_like(weights["rows"]).at[: len(means)].set(means)


def best_margins(problem: Problem, weights: Weights, cached: Any) -> incdsi.Margins:
    """The best of `IncDSI.trials` margins, those of the settings and random ones.

    Each solves the first new corpus; what counts is the F measure of validation MRR@10, of the
    first corpus and of that one.
    """
    config, corpus, rows = problem.config, problem.corpus, weights["rows"]
    (old, stop), new = corpus.rows(1), mean_queries(problem, weights, 1)
    queries = [corpus.queries_of(number, "valid") for number in (0, 1)]
    vectors = [problem.encoded(weights, q).features for q in queries]
    tasks = [gold_task(corpus.document[q], stop) for q in queries]
    own, most = config.incdsi, -1.0
    best = first = incdsi.Margins(own.balance, own.new, own.old, own.decay)
    for trial in (first, *incdsi.draw_margins(own.trials - 1, config.seed)):
        table, _, _ = incdsi.append_jit(rows, cached, old, new, rows[old:stop], trial)
        before, after = (
            hits_and_mrr(task, top_k(x @ table[:stop].T, 10)[1], ks=(10,))["mrr@10"]
            for x, task in zip(vectors, tasks, strict=True)
        )
        value = float(f_beta(after, before, beta=config.beta))
        if value > most:
            best, most = trial, value
    return best


def solve(problem: Problem, run: Pipeline, number: int, before: Trained) -> Trained:
    """IncDSI: a row for each new document, one after the other."""
    old, stop = problem.corpus.rows(number)

    def solved(weights: Weights, cached: jax.Array, margins: incdsi.Margins) -> dict[str, Any]:
        new, rows = mean_queries(problem, weights, number), weights["rows"]
        after, cached, _ = incdsi.append_jit(rows, cached, old, new, rows[old:stop], margins)
        return {"rows": after, "queries": cached}

    made = run.make(corpus_name(number), solved, (before.weights, *before.memory))
    rows, queries = jnp.asarray(made["rows"]), jnp.asarray(made["queries"])
    stage, memory = prompt_dsi.rows_stage(old, stop - old), before.memory._replace(queries=queries)
    return Trained(stage, before.weights | {"rows": rows}, memory)


def save_index(problem: Problem, run: Pipeline, done: Trained) -> None:
    """Keep what `search` needs in the run's folder, if it has one."""
    config, titles = problem.config, list(problem.corpus.titles)

    def index(weights: Weights) -> Index:
        return Index(config.model, to_json(config.encoder), done.stage, weights, titles)

    if run.workdir is not None:
        run.make("index", index, (done.weights,), kinds=INDEX_KINDS)


def search(flags: Search) -> str:
    """The documents that a finished run retrieves for words, by title with their scores.

    Raises:
        UserError: there is no finished run, no word, k is below 1, or the output has an unknown
            ending.
    """
    if flags.k < 1 or not flags.query.strip():
        raise UserError(f"--k {flags.k}, words {flags.query!r}: give 1 or more of both")
    if flags.out is not None and flags.out.suffix not in (".parquet", ".jsonl"):
        raise UserError(f"--out {flags.out}: choose a name that ends in .parquet or .jsonl")
    seeds = sorted(flags.workdir.glob("seed_*"))
    try:
        index = load_stage(seeds[0] if seeds else flags.workdir, "index", INDEX_KINDS)
    except FileNotFoundError as error:
        raise UserError(
            f"{flags.workdir} holds no finished run ({error}); give its training command again"
        ) from error
    with mendable():
        saved = dict(index.encoder)
        folder = saved.pop("folder")
        encoder = analysis.load_encoder(Encoder(folder and Path(folder), **saved))
    learner = prompt_dsi.Learner(index.model, encoder.network, index.stage)
    retriever, k = prompt_dsi.weights_retriever(learner), min(flags.k, index.stage.count)
    weights = jax.tree.map(jnp.asarray, index.weights)
    ids, values = retrieve(retriever, weights, encoder.tokens([flags.query]), k=k)
    rows = [
        {"query": flags.query, "rank": n + 1, "document": i, "title": index.titles[i], "score": x}
        for n, (i, x) in enumerate(zip(ids[0].tolist(), values[0].tolist(), strict=True))
    ]
    lines = [f"{row['rank']:3d}  {row['score']:8.3f}  {row['title']}" for row in rows]
    return finish(rows, flags.out, "\n".join(lines))


def tables() -> Path:
    """Fill README.md."""
    return readme.fill(analysis.FOLDER, analysis.bodies())
