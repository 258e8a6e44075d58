"""The stages, each trained in a folder of its own: towers, tokenizer, generation, ranking."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.avg.config import Stage
from experiments.avg.features import Features, images_of, texts_of, tower_features
from experiments.avg.problem import Problem
from mmjax.blocks.quantisation.kmeans import residual_kmeans
from mmjax.data.core.captioned import Split
from mmjax.evaluation.gallery import code_recall, vector_recall
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval import avg, avg_tokenizer, two_tower
from mmjax.models.retrieval.avg.network import AVG
from mmjax.objective import Objective
from mmjax.training.fitting import FitResult, fit
from mmjax.training.loop import Evaluate
from mmjax.training.signals import Interrupted
from mmjax.training.sources.pairs import rows_source

STAGES = ("generative", "ranking")
"""Of the language model, in their order."""

# One program for all stages that search as much.
_search = jax.jit(avg.search_many, static_argnums=0)


class Codes(NamedTuple):
    """Vokens of all images."""

    codes: np.ndarray
    codebooks: list[np.ndarray]
    decoded: np.ndarray | None
    """The features that the codes stand for, where the tokenizer made them."""
    fit: FitResult | None
    """The tokenizer's training."""


def _train(
    problem: Problem,
    name: str,
    objective: Objective,
    stage: Stage,
    rows: int,
    evaluate: Evaluate | None,
    seed: int,
    folder: Path | None,
) -> FitResult:
    source = rows_source(rows, stage.batch_size)
    steps = stage.epochs * source.steps_per_epoch
    rate: Any = stage.learning_rate
    if stage.warmup >= 0:
        rising = int(stage.warmup * steps)
        up = optax.linear_schedule(0.0, rate, max(rising, 1))
        down = optax.linear_schedule(rate, 0.0, max(steps - rising, 1))
        rate = optax.join_schedules([up, down], [rising])
    length = dataclasses.replace(
        problem.run.fit,
        epochs=stage.epochs,
        eval_every=min(stage.eval_every, stage.epochs),
        metric="recall@10",
    )
    result = fit(
        objective,
        source,
        optax.adamw(rate, weight_decay=stage.weight_decay),
        evaluate,
        length,
        seeds=(seed,),
        workdir=folder and folder / name,
        run_config={"stage": name, "run": problem.run.identity()},
    )
    if result.stopped_because == "signal":
        raise Interrupted("stopped by a signal; the same command resumes")
    return result


def train_towers(problem: Problem, seed: int, folder: Path | None) -> FitResult:
    """The two towers, of the epoch whose recall@10 on validation captions is best."""
    assert problem.pixels is not None
    queries, gold, gallery = problem.queries("valid")
    objective = two_tower.build(problem.clip, _pairs(problem), problem.pixels).objective

    pixels, ids = jnp.asarray(problem.pixels[gallery]), jnp.asarray(queries)
    place, all_of = np.searchsorted(gallery, gold), np.arange(len(gallery))

    def evaluate(params: Any, state: Any, key: Any) -> dict[str, float]:
        images = images_of(problem.clip, params, pixels)
        texts = texts_of(problem.clip, params, ids)
        return vector_recall(texts, images, place, all_of, (1, 5, 10))

    rows = len(problem.trained)
    return _train(
        problem, "towers", objective, problem.run.fit_towers, rows, evaluate, seed, folder
    )


def features(problem: Problem, towers: FitResult | None) -> Features:
    """Of all images and all texts: those that are given, or what the towers say."""
    if towers is None:
        assert problem.given is not None
        return problem.given
    assert problem.pixels is not None
    length = problem.run.length
    return tower_features(
        problem.clip,
        towers.variables[0],
        problem.pixels,
        problem.ids,
        lambda texts: problem.words.encode(texts, length),
    )


def make_codes(problem: Problem, found: Features, seed: int, folder: Path | None) -> Codes:
    """Vokens of all images; captions of validation and test images play no part."""
    run, x = problem.run, found.images
    c = run.tokenizer
    if run.codes == "tokenizer":
        pairs = avg_tokenizer.Captions(problem.trained_image, found.texts[problem.trained])
        objective = avg_tokenizer.build(c, x, pairs)
        rows = len(problem.trained)
        stage = run.fit_tokenizer
        result = _train(problem, "tokenizer", objective, stage, rows, None, seed, folder)
        variables = result.variables[0]
        codes = avg_tokenizer.encode(c, variables, x)
        books = avg_tokenizer.codebooks(c, variables)
        decoded = avg_tokenizer.decode(c, variables, codes)
        books = [np.asarray(b) for b in books]
        return Codes(np.asarray(codes), books, np.asarray(decoded), result)
    key, width = jax.random.key(seed), run.model.width
    if run.codes == "residual_kmeans":
        books, codes = residual_kmeans(key, jnp.asarray(x), c.sizes)
        if x.shape[1] == width:
            return Codes(np.asarray(codes), [np.asarray(b) for b in books], None, None)
    else:
        draw = np.random.default_rng(seed)
        codes = np.stack([draw.integers(0, k, len(x)) for k in c.sizes], 1).astype(np.int32)
    # No vectors of the model's width stand behind these codes: its embeddings start as noise.
    drawn = np.random.default_rng(seed + 1)
    noise = [drawn.normal(size=(k, width)).astype(np.float32) for k in c.sizes]
    return Codes(np.asarray(codes), noise, None, None)


def model_config(problem: Problem) -> Any:
    """The model's settings; codes of the ablations are of their level alone."""
    run = problem.run
    shared = run.model.shared and run.codes == "tokenizer" and run.tokenizer.shared
    return dataclasses.replace(run.model, shared=shared)


def build_model(problem: Problem, codes: Codes) -> AVG:
    """The language model's network."""
    sizes = tuple(len(book) for book in codes.codebooks)
    return AVG(model_config(problem), problem.words.size, sizes)


def train_model(
    problem: Problem, codes: Codes, seed: int, folder: Path | None
) -> dict[str, FitResult]:
    """The generative stage, and the discriminative one if there is one."""
    task, gallery = _pairs(problem), problem.data.images_of("valid")
    vokens = avg.Vokens(codes.codes, codes.codebooks)
    run, start = problem.run, None
    found: dict[str, FitResult] = {}

    def evaluate(params: Any, state: Any, key: Any) -> dict[str, float]:
        return search_split(problem, codes, params, "valid", (1, 5, 10))

    for name, stage in zip(STAGES, (run.fit_model, run.fit_rank), strict=True):
        if not stage.epochs:
            continue
        config = model_config(problem)
        words, count = problem.words.size, len(task.queries)
        model = avg.build(config, task, vokens, gallery, vocabulary=words, start=start)
        objective = model.objective
        found[name] = _train(problem, name, objective, stage, count, evaluate, seed, folder)
        start = found[name].variables[0]["params"]
    return found


def search_split(
    problem: Problem, codes: Codes, params: Any, split: Split, ks: Sequence[int]
) -> dict[str, float]:
    """Recall of the language model on a split."""
    queries, gold, gallery = problem.queries(split)
    model = build_model(problem, codes)
    trie = avg.gallery_trie(codes.codes, model.sizes, gallery)
    beams = _search(model, params, trie, jnp.asarray(queries))
    return code_recall(trie, beams.leaves, gold, ks)


def _pairs(problem: Problem) -> QueryTask:
    return QueryTask(problem.ids[problem.trained], problem.trained_image)
