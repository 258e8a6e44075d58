"""Pictures for words: by AVG and by the two towers, side by side on a page."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.avg.config import AVGRun
from experiments.avg.problem import Problem, load_problem
from experiments.avg.run import train_seed
from experiments.avg.stages import model_config
from mmjax.data.core.captioned import CAPTION
from mmjax.data.io.files import atomic_write_text
from mmjax.models.retrieval import avg
from mmjax.models.retrieval.avg.network import AVG
from mmjax.retriever import index_of
from mmjax.viz.gallery import Picture, gallery


def search(
    config: AVGRun, workdir: Path, query: str, k: int, page: Path
) -> list[tuple[str, list[str]]]:
    """Search all images of a finished run's data, write the page, give the titles by method.

    Raises:
        ValueError: the query has no word that the run knows, k is below 1, or the run is not
            finished or its data have no pictures.
    """
    if k < 1:
        raise ValueError(f"--k {k}: give 1 or more")
    # The run may have been moved since.
    problem = load_problem(dataclasses.replace(config, workdir=workdir))
    ids = problem.words.encode([query], problem.run.length)
    if (ids < 3).all():
        raise ValueError(f"{query!r} has no word that occurs in the texts of {problem.data.name}")
    seed = config.seed_list()[0]
    last = "ranking" if problem.run.fit_rank.epochs else "generative"
    if not (workdir / f"seed_{seed}" / last).is_dir():
        raise ValueError(f"{workdir} holds no finished run: give its training command again")
    trained = train_seed(problem, seed, workdir)
    if trained.features.query is None:
        raise ValueError(f"{problem.data.name}: there are no pictures to show")
    k = min(k, len(problem.data.image_ids))
    text = trained.features.query([query])[0]
    lengths = np.linalg.norm(trained.features.images, axis=1) * np.linalg.norm(text)
    cosines = trained.features.images @ text / np.maximum(lengths, 1e-12)
    by_vector = np.argsort(-cosines, kind="stable")[:k]
    codes = trained.codes.codes
    by_code, scores = _by_code(problem, codes, trained.params(last), jnp.asarray(ids), k)
    rows = []
    for method, remark, images, notes in (
        ("AVG", "log-probability of the codes", by_code, scores),
        ("Two towers", "cosine", by_vector, cosines[by_vector]),
    ):
        pictures = [
            Picture(problem.data.encoded(int(n)), _title(problem, int(n)), f"{note:.2f}")
            for n, note in zip(images, notes, strict=True)
        ]
        rows.append((method, remark, pictures))
    atomic_write_text(page, gallery(query, rows))
    return [(method, [p.title for p in pictures]) for method, _, pictures in rows]


def _by_code(
    problem: Problem, codes: np.ndarray, params: dict, query: jax.Array, k: int
) -> tuple[np.ndarray, np.ndarray]:
    sizes = problem.run.tokenizer.sizes
    wide = dataclasses.replace(model_config(problem), beams=max(k, problem.run.model.beams))
    model = AVG(wide, problem.words.size, sizes)
    trie = avg.gallery_trie(codes, sizes, np.arange(len(codes)))
    retriever = avg.gallery_retriever(model, trie, len(codes))
    retrieve = jax.jit(retriever.retrieve, static_argnames="k")
    found = retrieve(index_of(retriever, {"params": params}), query, None, k=k)
    there = np.asarray(found.ids[0]) >= 0
    return np.asarray(found.ids[0])[there], np.asarray(found.scores[0])[there]


def _title(problem: Problem, image: int) -> str:
    data = problem.data
    rows = np.flatnonzero((data.image == image) & (data.kind == CAPTION))
    return data.text[rows[0]]
