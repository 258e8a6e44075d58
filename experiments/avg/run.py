"""All stages for every seed, then the test, once."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.avg.config import AVGRun
from experiments.avg.evaluation import collision_rate, vector_recall
from experiments.avg.problem import Problem, load_problem
from experiments.avg.stages import (
    Codes,
    Features,
    features,
    make_codes,
    search_split,
    train_model,
    train_towers,
)
from experiments.common.results import Record, environment
from mmjax.data.captioned import Split
from mmjax.objective import Variables


class Trained(NamedTuple):
    """What the stages of a seed gave."""

    towers: Variables
    features: Features
    codes: Codes
    params: dict[str, Any]
    """Of the language model, by stage."""


def train_seed(problem: Problem, seed: int, workdir: Path | None) -> Trained:
    """All stages of a seed; what its folder holds already is read and not trained again.

    Raises:
        Interrupted: a signal came; the same call resumes.
    """
    folder = workdir and workdir / f"seed_{seed}"
    towers = train_towers(problem, seed, folder)
    found = features(problem, towers)
    codes = make_codes(problem, found, seed, folder)
    return Trained(towers, found, codes, train_model(problem, codes, seed, folder))


def judge(problem: Problem, trained: Trained, split: Split) -> dict[str, dict[str, float]]:
    """Recall by method: the towers, their vectors after quantisation, and AVG after each stage."""
    ks, (_, gold, pool) = problem.run.ks, problem.asked(split)
    asked = trained.features.texts[problem.data.captions_of(split)]
    numbers = {"two_tower": vector_recall(asked, trained.features.images, gold, pool, ks)}
    if (decoded := trained.codes.decoded) is not None:
        unit = decoded / np.maximum(np.linalg.norm(decoded, axis=1, keepdims=True), 1e-12)
        numbers["quantised"] = vector_recall(asked, unit, gold, pool, ks)
    collisions = collision_rate(trained.codes.codes, pool)
    for name, params in trained.params.items():
        found = search_split(problem, trained.codes, params, split, ks)
        numbers[f"avg_{name}"] = found | {"collisions": collisions}
    return numbers


def run(config: AVGRun) -> dict[str, Record]:
    """Train and test every seed; a record a method.

    Raises:
        ValueError, DataError, FileNotFoundError: settings or data are bad or missing.
        Interrupted: a signal came; the same call resumes.
    """
    problem = load_problem(config)
    print(f"{problem.data}; {problem.words.size:,} words\n", flush=True)
    began = time.perf_counter()
    scores = {}
    for split in ("valid", "test"):
        scores[split] = []
    for seed in config.seed_list():
        trained = train_seed(problem, seed, config.workdir)
        for split in ("valid", "test"):
            scores[split].append(judge(problem, trained, split))
    seconds = round(time.perf_counter() - began, 1)
    return {
        name: Record(
            method=name,
            data=problem.data.name,
            split="by image",
            mask="none",
            seeds=list(config.seed_list()),
            valid=_columns(scores["valid"], name),
            test=_columns(scores["test"], name),
            best_epoch=[],
            epochs=[],
            seconds=seconds,
            parameters=0,
            config=problem.run.identity(),
            **environment(),
        )
        for name in scores["test"][0]
    }


def _columns(scores: list[dict[str, dict[str, float]]], name: str) -> dict[str, list[float]]:
    return {k: [round(of[name][k], 6) for of in scores] for k in scores[0][name]}
