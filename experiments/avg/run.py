"""AVG: two towers, features, codes, a model that writes the codes, its ranking stage; and search.

Axes: n images, t texts, s tokens of a text, m training pairs, y rows and x columns of pixels.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from experiments.avg import analysis
from experiments.avg.analysis import (
    STAGES,
    cost,
    embed_images,
    embed_texts,
    index,
    load_data,
    load_saved,
    model_of,
    towers_of,
    write_page,
)
from experiments.avg.config import AVGRun, Search, Stage, preset
from experiments.common import readme
from mmjax.data import CaptionedImages
from mmjax.data.core.captioned import SPLITS, Split
from mmjax.data.core.words import Words
from mmjax.encoders.clip_pair import load_clip_pair
from mmjax.errors import UserError, user_errors
from mmjax.evaluation.gallery import code_recall, collision_rate, vector_recall
from mmjax.models.common.query_task import QueryTask, pseudo_queries
from mmjax.models.retrieval import avg, avg_tokenizer, two_tower
from mmjax.models.retrieval.avg import Vokens, tokenizer_vokens, unaligned_vokens
from mmjax.models.retrieval.two_tower import ImageTextFeatures
from mmjax.objective import Objective, Params, Variables
from mmjax.training.fitting import FitResult
from mmjax.training.loop import Evaluate
from mmjax.training.optim import optimiser
from mmjax.training.parallel import init
from mmjax.training.pipeline import Pipeline, pipelines
from mmjax.training.records import Record, environment
from mmjax.training.run_config import override
from mmjax.training.seeds import training_fields
from mmjax.training.sources.pairs import rows_source

__all__ = ["cost", "index", "search", "tables", "train"]

_SELECTING = (1, 5, 10)
# One program for all stages that search as much.
_search = jax.jit(avg.search_many, static_argnums=0)


class Pairs(NamedTuple):
    """Rows of the texts to train on, and the image that each stands for."""

    text: Int[np.ndarray, "m"]
    image: Int[np.ndarray, "m"]


@dataclass(frozen=True, eq=False)
class Problem:
    """The data of a run, and the words of the texts to train on."""

    run: AVGRun
    data: CaptionedImages
    words: Words
    given: ImageTextFeatures | None = None
    """Features that come with the data."""

    @cached_property
    def ids(self) -> Int[np.ndarray, "t s"]:
        """Tokens of all texts."""
        return self.words.encode(self.data.text, self.run.length)

    @cached_property
    def pixels(self) -> UInt8[np.ndarray, "n y x 3"]:
        """All images as the towers read them."""
        return self.data.pixels(np.arange(len(self.data.image_ids)), self.run.towers.size)

    @cached_property
    def pairs(self) -> Pairs:
        """The texts to train on, those of the data alone."""
        rows = self.data.training_texts()
        return Pairs(rows, self.data.image[rows])

    def task(self, pairs: Pairs) -> QueryTask:
        """Tokens and images of some pairs."""
        return QueryTask(self.ids[pairs.text], pairs.image)

    def queries(self, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens of a split's captions, the images they mean, and the gallery that they search."""
        rows = self.data.captions_of(split)
        return self.ids[rows], self.data.image[rows], self.data.images_of(split)

    def same(self) -> dict[str, Any]:
        """What every stage of a seed depends on; the rest is each stage's own."""
        return {"data_digest": self.data.digest, "smoke": self.run.smoke}

    def reading(self) -> dict[str, Any]:
        """What the towers, and their features, depend on beside their training."""
        run = self.run
        return {"towers": run.towers, "length": run.length, "min_count": run.min_count}

    def identity(self) -> dict[str, Any]:
        """All that decides the result of a seed."""
        return self.run.identity() | {"data_digest": self.data.digest}


def load_problem(run: AVGRun) -> Problem:
    """The data of `run` and their words.

    Raises:
        UserError: see `load_data`, or there are fewer than no pseudo queries.
    """
    if run.pseudo_queries < 0:
        raise UserError(f"--pseudo-queries {run.pseudo_queries}: give 0 or more captions")
    data, given = load_data(run)
    run = _fitted(run, data)
    _check(run, data)
    texts = (data.text[n] for n in data.training_texts())
    return Problem(run, data, Words.of(texts, min_count=run.min_count), given)


def _fitted(run: AVGRun, data: CaptionedImages) -> AVGRun:
    """The settings with as many codes as images of one's own can fill, unless the flag names them.

    A quarter as many codes a level as images, rounded down to a power of two.
    """
    sizes, images = run.tokenizer.sizes, len(data.image_ids)
    named = sizes != preset(run.data).tokenizer.sizes
    if named or run.smoke or not Path(run.data).exists() or images >= 4 * max(sizes):
        return run
    size = 1 << max((images // 4).bit_length() - 1, 1)
    print(f"{images:,} images: {len(sizes)} levels of {size} codes (--tokenizer.sizes)", flush=True)
    return override(run, {"tokenizer.sizes": (size,) * len(sizes)})


def _check(run: AVGRun, data: CaptionedImages) -> None:
    """Check all that the data and the flags decide, before the first stage is trained.

    Raises:
        UserError: naming the flag, or the split.
    """
    for split in SPLITS:
        if not len(data.captions_of(split)):
            raise UserError(f"{data.name}: the split {split} has no captions; name one in the data")
    images = len(data.image_ids)
    if run.codes == "tokenizer":
        if run.tokenizer.latent != run.model.width:
            raise UserError(
                f"--tokenizer.latent {run.tokenizer.latent}, --model.width {run.model.width}: "
                "the language model starts from the tokenizer's codes; give equal widths"
            )
        try:
            avg_tokenizer.check_counts(run.tokenizer, images)
        except ValueError as error:
            raise UserError(f"--tokenizer.sizes, {images:,} images: {error}") from error
    elif run.codes == "residual_kmeans" and images < max(run.tokenizer.sizes):
        raise UserError(
            f"--tokenizer.sizes {run.tokenizer.sizes}: more codes than the {images:,} images of "
            f"{data.name}; ask for fewer"
        )


def train(run: AVGRun) -> None:
    """Train all stages of every seed, print the test table, write a record a method.

    Raises:
        UserError: settings or data are bad or missing, or not those of the workdir's earlier run.
        Interrupted: a signal came; the same call resumes.
    """
    init()
    problem = load_problem(run)
    print(f"{problem.data}; {problem.words.size:,} words\n", flush=True)
    records = run_methods(problem)
    print(f"\n{analysis.summary(records, run.ks)}")
    if run.workdir is not None:
        for name, record in records.items():
            record.save(run.workdir / f"{name}.json")


def run_methods(problem: Problem) -> dict[str, Record]:
    """Train every seed, then test it once; a record a method."""
    run, scores, fits = problem.run, {"valid": [], "test": []}, []
    for stages in pipelines(run.workdir, run.seed_list(), identity=problem.same(), shared=True):
        trained = train_seed(problem, stages)
        fits.append(trained.fits)
        for split in ("valid", "test"):
            scores[split].append(evaluate(problem, trained, split))
    return {
        name: Record(
            method=name,
            data=problem.data.name,
            split="by image",
            exclude="none",
            seeds=list(run.seed_list()),
            valid=_columns(scores["valid"], name),
            test=_columns(scores["test"], name),
            config=problem.identity(),
            **training_fields([of[name] for of in fits if name in of]),
            **environment(),
        )
        for name in scores["test"][0]
    }


def _columns(scores: list[dict[str, dict[str, float]]], name: str) -> dict[str, list[float]]:
    return {k: [round(of[name][k], 6) for of in scores] for k in scores[0][name]}


class Trained(NamedTuple):
    """The results of a seed's stages."""

    features: ImageTextFeatures
    vokens: Vokens
    fits: dict[str, FitResult]
    """By method (a row of the tables): the training of what it adds."""


def train_seed(problem: Problem, stages: Pipeline) -> Trained:
    """All stages of a seed, each read if it was finished before."""
    run, fits, towers = problem.run, {}, None
    stages.make("vocabulary", lambda: problem.words, settings=run.min_count, kinds=(Words,))
    if problem.given is None and run.clip is None:
        towers = fits["two_tower"] = train_towers(problem, stages)
    features = make_features(problem, towers, stages)
    pairs = make_pairs(problem, features, stages)
    vokens, tokenizer = make_vokens(problem, features, pairs, stages)
    if tokenizer is not None:
        fits["quantised"] = tokenizer
    start = None
    for name in STAGES if run.fit_rank.epochs else STAGES[:1]:
        start = fits[f"avg_{name}"] = train_model(problem, vokens, pairs, start, stages)
    about = run.identity() | {"manual_dir": run.manual_dir and str(run.manual_dir.absolute())}
    stages.finish({"run": about, "data_digest": problem.data.digest})
    return Trained(features, vokens, fits)


def _train(
    problem: Problem,
    stages: Pipeline,
    name: str,
    objective: Objective,
    stage: Stage,
    *,
    pairs: Pairs,
    validate: Evaluate | None = None,
    own: Any,
    **inputs: Any,
) -> FitResult:
    source = rows_source(len(pairs.text), stage.batch_size)
    every = min(stage.eval_every, stage.epochs)
    with user_errors():
        config = dataclasses.replace(problem.run.fit, epochs=stage.epochs, eval_every=every)
    return stages.train(
        name,
        objective,
        source,
        optimiser(stage, source.steps_per_epoch, epochs=stage.epochs),
        {"stage": stage, "own": own},
        validate=validate,
        config=config,
        inputs={"pairs": pairs, **inputs},
    )


def train_towers(problem: Problem, stages: Pipeline) -> FitResult:
    """The two towers, of the epoch whose recall@10 on validation captions is best."""
    config, pairs = towers_of(problem.run, problem.words), problem.pairs
    queries, gold, images = problem.queries("valid")
    with user_errors():
        objective = two_tower.build(config, problem.task(pairs), problem.pixels).objective
    pixels, ids = jnp.asarray(problem.pixels[images]), jnp.asarray(queries)
    place, all_of = np.searchsorted(images, gold), np.arange(len(images))

    def validate(params: Params, state: Any, key: jax.Array) -> dict[str, float]:
        found, texts = embed_images(config, params, pixels), embed_texts(config, params, ids)
        return vector_recall(texts, found, place, all_of, _SELECTING)

    stage = problem.run.fit_towers
    own = problem.reading()
    return _train(
        problem, stages, "towers", objective, stage, pairs=pairs, validate=validate, own=own
    )


def make_features(
    problem: Problem, towers: FitResult | None, stages: Pipeline
) -> ImageTextFeatures:
    """Features of all images and texts: of the towers, of a published CLIP, or of the data."""
    kinds = (ImageTextFeatures,)
    if towers is not None:
        make = partial(tower_features, problem)
        own = problem.reading()
        variables = {"variables": towers.variables[0]}
        return stages.make("features", make, variables, own, kinds=kinds)
    if problem.given is not None:
        return stages.make("features", lambda: problem.given, kinds=kinds)
    own = {"clip": str(problem.run.clip)}
    return stages.make("features", partial(clip_features, problem), settings=own, kinds=kinds)


def tower_features(problem: Problem, variables: Variables) -> ImageTextFeatures:
    """Features by trained towers."""
    config, params = towers_of(problem.run, problem.words), variables["params"]
    images = embed_images(config, params, jnp.asarray(problem.pixels))
    texts = embed_texts(config, params, jnp.asarray(problem.ids))
    return ImageTextFeatures.of_unit(np.asarray(images), np.asarray(texts))


def clip_features(problem: Problem) -> ImageTextFeatures:
    """Features by a published CLIP.

    Raises:
        WeightsError: its folder does not hold both towers.
        DataError: a picture is damaged.
    """
    data, folder, cache = problem.data, problem.run.clip, problem.run.cache
    assert folder is not None
    pair = load_clip_pair(folder)
    pictures = [data.picture(row) for row in range(len(data.image_ids))]
    images = pair.images.encode(pictures, cache=cache)
    return ImageTextFeatures.of_unit(images, pair.texts.encode(data.text, cache=cache))


def make_pairs(problem: Problem, features: ImageTextFeatures, stages: Pipeline) -> Pairs:
    """The texts to train on, with pseudo queries for the images that none of them is about."""
    own, k = problem.pairs, problem.run.pseudo_queries

    def make(features: ImageTextFeatures) -> Pairs:
        near = pseudo_queries(features.texts[own.text], features.images, own.image, k=k)
        text = np.concatenate([own.text, own.text[near[0]]])
        return Pairs(text, np.concatenate([own.image, near[1]]))

    return stages.make("pairs", make, {"features": features}, {"k": k}, kinds=(Pairs,))


def make_vokens(
    problem: Problem, features: ImageTextFeatures, pairs: Pairs, stages: Pipeline
) -> tuple[Vokens, FitResult | None]:
    """Vokens of all images, and the tokenizer's training if there is one.

    Captions of validation and test images play no part.
    """
    run, x, kinds = problem.run, features.images, (Vokens,)
    if run.codes != "tokenizer":
        sizes, width = run.tokenizer.sizes, run.model.width
        make = partial(unaligned_vokens, sizes=sizes, by=run.codes, width=width, seed=stages.seed)
        own = {"sizes": sizes, "by": run.codes, "width": width}
        return stages.make("codes", make, {"images": x}, own, kinds=kinds), None
    captions = avg_tokenizer.Captions(pairs.image, features.texts[pairs.text])
    with user_errors():
        objective = avg_tokenizer.build(run.tokenizer, x, captions)
    stage = run.fit_tokenizer
    given, own = {"pairs": pairs, "features": features}, run.tokenizer
    fit = _train(problem, stages, "tokenizer", objective, stage, own=own, **given)
    inputs, make = {"variables": fit.variables[0], "images": x}, tokenizer_vokens
    return stages.make("codes", partial(make, own), inputs, own, kinds=kinds), fit


def train_model(
    problem: Problem, vokens: Vokens, pairs: Pairs, start: FitResult | None, stages: Pipeline
) -> FitResult:
    """The generative stage of the language model, or from its `start` on the discriminative one."""
    run, params = problem.run, None if start is None else start.variables[0]["params"]
    with user_errors():
        objective = avg.build(
            model_of(run, problem.words, vokens).config,
            problem.task(pairs),
            vokens,
            problem.data.images_of("valid"),
            vocabulary=problem.words.size,
            start=params,
        ).objective

    def validate(params: Params, state: Any, key: jax.Array) -> dict[str, float]:
        return search_split(problem, vokens, params, "valid", _SELECTING)

    name, stage = (STAGES[0], run.fit_model) if start is None else (STAGES[1], run.fit_rank)
    inputs = {"pairs": pairs, "codes": vokens, "start": params}
    own = {"model": model_of(run, problem.words, vokens).config, "length": run.length}
    own |= {"min_count": run.min_count}
    return _train(problem, stages, name, objective, stage, validate=validate, own=own, **inputs)


def search_split(
    problem: Problem, vokens: Vokens, params: Params, split: Split, ks: Sequence[int]
) -> dict[str, float]:
    """Recall of the language model on a split."""
    queries, gold, images = problem.queries(split)
    model = model_of(problem.run, problem.words, vokens)
    trie = avg.gallery_trie(vokens.codes, model.sizes, images)
    beams = _search(model, params, trie, jnp.asarray(queries))
    return code_recall(trie, beams.leaves, gold, ks)


def evaluate(problem: Problem, trained: Trained, split: Split) -> dict[str, dict[str, float]]:
    """Recall by method: the towers, their vectors after quantisation, and AVG after each stage."""
    ks, (_, gold, images) = problem.run.ks, problem.queries(split)
    texts = trained.features.texts[problem.data.captions_of(split)]
    numbers = {"two_tower": vector_recall(texts, trained.features.images, gold, images, ks)}
    if (decoded := trained.vokens.decoded) is not None:
        unit = decoded / np.maximum(np.linalg.norm(decoded, axis=1, keepdims=True), 1e-12)
        numbers["quantised"] = vector_recall(texts, unit, gold, images, ks)
    collisions = collision_rate(trained.vokens.codes, images)
    for method in (f"avg_{stage}" for stage in STAGES):
        if method in trained.fits:
            params = trained.fits[method].variables[0]["params"]
            found = search_split(problem, trained.vokens, params, split, ks)
            numbers[method] = found | {"collisions": collisions}
    return numbers


def search(flags: Search) -> str:
    """Search all images of a finished run's data, write the page; the titles by method.

    Raises:
        UserError: the query has no word that the run knows, k is below 1, or the run is not
            finished, its data have changed, or they have no pictures.
    """
    if (flags.workdir is None) == (flags.gallery is None):
        raise UserError("search: give --workdir of a run or --gallery of `index`, one of them")
    if flags.k < 1:
        raise UserError(f"--k {flags.k}: give 1 or more")
    if flags.gallery is not None:
        return analysis.gallery_page(flags.gallery, flags)
    assert flags.workdir is not None
    saved = load_saved(flags.workdir)
    places = {"data_dir": flags.data_dir, "manual_dir": flags.manual_dir or saved.run.manual_dir}
    data, _ = load_data(dataclasses.replace(saved.run, **places))
    if data.digest != saved.data_digest:
        raise UserError(f"{data.name} has changed since {flags.workdir} was trained: train again")
    return write_page(saved, data, flags)


def tables() -> Path:
    """Fill README.md."""
    return readme.fill(analysis.FOLDER, analysis.bodies())
