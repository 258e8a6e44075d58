"""All stages for every seed, then the test, once."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.avg.config import AVGRun
from experiments.avg.features import Features
from experiments.avg.problem import Problem, borrowed, load_problem
from experiments.avg.stages import (
    STAGES,
    Codes,
    features,
    make_codes,
    search_split,
    train_model,
    train_towers,
)
from experiments.common.results import Record, environment
from experiments.common.seeds import training_fields
from mmjax.data.core.captioned import Split
from mmjax.evaluation.gallery import collision_rate, vector_recall
from mmjax.training.fit import FitResult


class Trained(NamedTuple):
    """What the stages of a seed gave."""

    features: Features
    codes: Codes
    fits: dict[str, FitResult]
    """By method (a row of the tables): the training of what it adds."""

    def params(self, stage: str) -> Any:
        """Of the language model, after the stage "generative" or "ranking"."""
        return self.fits[f"avg_{stage}"].variables[0]["params"]


def train_seed(problem: Problem, seed: int, workdir: Path | None) -> Trained:
    """All stages of a seed; what its folder holds already is read and not trained again.

    Raises:
        Interrupted: a signal came; the same call resumes.
    """
    folder, fits = workdir and workdir / f"seed_{seed}", {}
    towers = None
    if problem.given is None:
        towers = fits["two_tower"] = train_towers(problem, seed, folder)
    found = features(problem, towers)
    problem = borrowed(problem, found, problem.run.borrowed)
    codes = make_codes(problem, found, seed, folder)
    if codes.fit is not None:
        fits["quantised"] = codes.fit
    stages = train_model(problem, codes, seed, folder)
    return Trained(found, codes, fits | {f"avg_{name}": fit for name, fit in stages.items()})


def judge(problem: Problem, trained: Trained, split: Split) -> dict[str, dict[str, float]]:
    """Recall by method: the towers, their vectors after quantisation, and AVG after each stage."""
    ks, (_, gold, gallery) = problem.run.ks, problem.queries(split)
    texts = trained.features.texts[problem.data.captions_of(split)]
    numbers = {"two_tower": vector_recall(texts, trained.features.images, gold, gallery, ks)}
    if (decoded := trained.codes.decoded) is not None:
        unit = decoded / np.maximum(np.linalg.norm(decoded, axis=1, keepdims=True), 1e-12)
        numbers["quantised"] = vector_recall(texts, unit, gold, gallery, ks)
    collisions = collision_rate(trained.codes.codes, gallery)
    for stage in STAGES:
        if f"avg_{stage}" in trained.fits:
            found = search_split(problem, trained.codes, trained.params(stage), split, ks)
            numbers[f"avg_{stage}"] = found | {"collisions": collisions}
    return numbers


def run(config: AVGRun) -> dict[str, Record]:
    """Train and test every seed; a record a method.

    Raises:
        ValueError, DataError, FileNotFoundError: settings or data are bad or missing.
        Interrupted: a signal came; the same call resumes.
    """
    problem = load_problem(config)
    print(f"{problem.data}; {problem.words.size:,} words\n", flush=True)
    scores, fits = {"valid": [], "test": []}, []
    for seed in config.seed_list():
        trained = train_seed(problem, seed, config.workdir)
        fits.append(trained.fits)
        scores["valid"].append(judge(problem, trained, "valid"))
        scores["test"].append(judge(problem, trained, "test"))
    return {
        name: Record(
            method=name,
            data=problem.data.name,
            split="by image",
            mask="none",
            seeds=list(config.seed_list()),
            valid=_columns(scores["valid"], name),
            test=_columns(scores["test"], name),
            config=problem.run.identity(),
            **training_fields([of[name] for of in fits if name in of]),
            **environment(),
        )
        for name in scores["test"][0]
    }


def _columns(scores: list[dict[str, dict[str, float]]], name: str) -> dict[str, list[float]]:
    return {k: [round(of[name][k], 6) for of in scores] for k in scores[0][name]}
