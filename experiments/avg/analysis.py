"""Answers of a finished run as a page, the cost of a query as the gallery grows, and the tables.

Models and galleries of the cost are random: times do not depend on what was learnt. Its scan is
that of scoring and choosing the best alone; the two towers' text tower costs the same whatever the
gallery.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.avg.config import AVGRun, Cost, Index, Search
from experiments.benchmarks import growth
from experiments.benchmarks.growth import Program, draw, measure, program, write
from experiments.common.readme import records
from mmjax.blocks.ranking.topk import top_k
from mmjax.data import CaptionedImages, load, load_captions
from mmjax.data.core.captioned import CAPTION
from mmjax.data.core.words import END, UNKNOWN, Words
from mmjax.data.io.files import atomic_write_text
from mmjax.data.synthetic.captions import concept_images
from mmjax.encoders.clip_pair import load_clip_pair
from mmjax.encoders.galleries import index_pictures, pictures_in, search_gallery
from mmjax.encoders.image_text.clip import ClipConfig
from mmjax.errors import UserError, user_errors
from mmjax.models.retrieval import avg, two_tower
from mmjax.models.retrieval.avg import Vokens
from mmjax.models.retrieval.avg.config import AVGConfig
from mmjax.models.retrieval.avg.network import AVG
from mmjax.models.retrieval.two_tower import ImageTextFeatures
from mmjax.objective import Params
from mmjax.retriever import TopK, retrieve
from mmjax.training.config import flatten
from mmjax.training.pipeline import FINISHED, finished_run
from mmjax.training.records import Record
from mmjax.training.run_config import override
from mmjax.training.stages import load_stage
from mmjax.viz.gallery import GalleryImage, gallery

_EVERY = 12
STAGES = ("generative", "ranking")
"""Of the language model, in their order."""
# One program for all stages that embed as many.
embed_images = jax.jit(two_tower.embed_images, static_argnums=0)
embed_texts = jax.jit(two_tower.embed_texts, static_argnums=0)
FOLDER = Path(__file__).resolve().parent
ROWS = {
    "two_tower": "two towers",
    "quantised": "two towers, images as their vokens stand for them",
    "avg_generative": "AVG, generative stage",
    "avg_ranking": "AVG, both stages",
}
VARIANTS = {"residual_kmeans": "vokens by residual k-means", "random": "random vokens"}
COLUMNS = ("recall@1", "recall@5", "recall@10", "recall_code@10", "collisions")
HEADS = ("Recall@1", "Recall@5", "Recall@10", "by code @10", "collisions")
_WORDS, _LENGTH, _LEVELS = 1000, 16, 4
SCAN, WRITE = "scan all vectors", "write vokens"


def title(stem: str) -> str:
    """Name of a row by its file, a method or ``method-variant``.

    Raises:
        ValueError: no row is called so.
    """
    method, _, variant = stem.partition("-")
    if method not in ROWS or (variant and variant not in VARIANTS):
        raise ValueError(f"{stem}.json in results/: name it METHOD or METHOD-VARIANT")
    return ROWS[method] + (f", {VARIANTS[variant]}" if variant else "")


def cell(record: Record, name: str) -> str:
    """Mean and deviation in percent; empty where it was not measured."""
    if name not in record.test:
        return ""
    mean = f"{100 * record.mean(name):.1f}"
    return f"{mean} ± {100 * record.std(name):.1f}" if len(record.seeds) > 1 else mean


def table(rows: Mapping[str, Record]) -> str:
    """Markdown: a line a record, variants below the whole."""
    order = list(ROWS)
    ordered = sorted(rows, key=lambda stem: ("-" in stem, stem.partition("-")[2]))
    ordered.sort(key=lambda stem: ("-" in stem, order.index(stem.partition("-")[0])))
    head = ["method", *HEADS, "parameters", "seeds"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for stem in ordered:
        record = rows[stem]
        size = f"{record.parameters / 1e6:.2f} M" if record.parameters else ""
        figures = [cell(record, name) for name in COLUMNS]
        lines.append([title(stem), *figures, size, str(len(record.seeds))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    results = FOLDER / "results"
    found = {name: table(rows) for name, rows in records(results).items()}
    if (results / "cost.json").exists():
        found["cost"] = growth.table(growth.load(results / "cost.json")["rows"], unit="images")
    return found


def summary(rows: Mapping[str, Record], ks: tuple[int, ...]) -> str:
    """The test figures of a run as text, in percent."""
    columns = [f"recall@{k}" for k in ks]
    lines = ["Test" + "".join(f"{c:>12}" for c in columns)]
    for name, record in rows.items():
        lines.append(f"{name:16s}" + "".join(f"{100 * record.mean(c):12.2f}" for c in columns))
        if "collisions" in record.test:
            lines.append(f"  collisions {100 * record.mean('collisions'):.2f} % of the gallery")
    return "\n".join(lines)


def candidates(flags: Cost, images: int) -> dict[str, Program]:
    """Both ways to answer, for a gallery of random vokens and vectors."""
    config = AVGConfig(
        width=flags.model_width,
        layers=3,
        heads=4,
        head_width=max(1, flags.model_width // 4),
        hidden=4 * flags.model_width,
        dropout=0.0,
        beams=flags.beams,
    )
    sizes = (flags.codes,) * _LEVELS
    model = AVG(config, _WORDS, sizes)
    query = jnp.full((flags.queries, _LENGTH), 5, jnp.int32)
    params = model.init(jax.random.key(0), query[:1], jnp.zeros((1, 1, _LEVELS), jnp.int32))
    drawn = np.random.default_rng(0).integers(0, flags.codes, (images, _LEVELS))
    trie = avg.gallery_trie(drawn.astype(np.int32), sizes, np.arange(images))
    retrieve = avg.gallery_retriever(model, trie, images).retrieve
    texts, vectors = (
        jax.random.normal(jax.random.key(n), (n, flags.width)) for n in (flags.queries, images)
    )
    k = min(flags.beams, images)
    return {
        SCAN: program(lambda q, v: top_k(q @ v.T, k), texts, vectors),
        WRITE: program(
            lambda r, p, q: r(p, q, None, k=flags.beams), retrieve, params["params"], query
        ),
    }


def cost(flags: Cost) -> Path:
    """Measure, print, write the JSON and draw the picture; returns the picture's path."""
    rows = measure(
        lambda n: candidates(flags, n), flags.sizes, SCAN, rounds=flags.rounds, unit="images"
    )
    settings = {n: getattr(flags, n) for n in ("queries", "width", "model_width", "beams", "codes")}
    write(flags.out, rows, **settings)
    y = f"ms for {flags.queries} {'query' if flags.queries == 1 else 'queries'}"
    path = flags.out.with_suffix(".png")
    return draw(rows, path, unit="images", x="images in the gallery", y=y)


def towers_of(run: AVGRun, words: Words) -> ClipConfig:
    """The towers that are trained here."""
    sizes = dataclasses.asdict(run.towers)
    return two_tower.tower_config(words.size, run.length, end_id=END, **sizes)


def model_of(run: AVGRun, words: Words, vokens: Vokens, *, beams: int = 0) -> AVG:
    """The language model's network, of `beams` at least; vokens of the ablations are of their
    level alone."""
    shared = run.model.shared and run.codes == "tokenizer" and run.tokenizer.shared
    beams = max(beams, run.model.beams)
    config = dataclasses.replace(run.model, shared=shared, beams=beams)
    return AVG(config, words.size, vokens.sizes)


class SavedRun(NamedTuple):
    """The first seed of a finished run, as it was saved."""

    run: AVGRun
    data_digest: str
    words: Words
    features: ImageTextFeatures
    vokens: Vokens
    params: Params
    """Of the language model after its last stage."""
    towers: Params | None
    """Of the two towers, where they were trained here."""


def load_saved(workdir: Path) -> SavedRun:
    """The content of a run's folder, or of that of one of its seeds.

    Raises:
        UserError: it holds no run, no finished one, or a damaged one.
    """
    seeds = sorted(workdir.glob("seed_*"), key=lambda p: (len(p.name), p.name))
    folder = workdir if (workdir / FINISHED).exists() or not seeds else seeds[0]
    if not (folder / FINISHED).exists():
        kept = "no finished run" if seeds else "no run"
        raise UserError(f"{workdir} holds {kept}: train one with --workdir {workdir}")
    try:
        stages, settings = finished_run(folder)
        run = override(AVGRun(), flatten(settings["run"]))
        paths = {n: Path(p) for n in ("clip", "manual_dir") if (p := getattr(run, n)) is not None}
        has_towers = run.clip is None and run.data != "concepts"
        return SavedRun(
            dataclasses.replace(run, **paths),
            settings["data_digest"],
            load_stage(folder, stages["vocabulary"], (Words,)),
            load_stage(folder, stages["features"], (ImageTextFeatures,)),
            load_stage(folder, stages["codes"], (Vokens,)),
            _finished(load_stage(folder, stages[STAGES[1] if run.fit_rank.epochs else STAGES[0]])),
            _finished(load_stage(folder, stages["towers"])) if has_towers else None,
        )
    except FileNotFoundError as error:
        raise UserError(f"{workdir} holds no finished run: give its command again") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder} does not hold a finished run of AVG: {error}") from error


def _finished(best: Any) -> Params:
    if not best.finished:
        raise FileNotFoundError
    return best.variables[0]["params"]


def write_page(saved: SavedRun, data: CaptionedImages, flags: Search) -> str:
    """The pictures that AVG and the two towers find for a query, as a page; titles by method.

    Raises:
        UserError: the query has no word that the run knows, or the data have no pictures.
    """
    if saved.run.data == "concepts":
        raise UserError(f"{data.name}: there are no pictures to show")
    query, k = flags.query, min(flags.k, len(data.image_ids))
    ids = saved.words.encode([query], saved.run.length)
    if (ids <= UNKNOWN).all():
        raise UserError(f"{query!r} has no word that occurs in the texts of {data.name}")
    rows = []
    for method, remark, (images, scores) in (
        ("AVG", "log-probability of the codes", by_code(saved, ids, k)),
        ("Two towers", "cosine", by_vector(saved, query, ids, k)),
    ):
        found = [(int(n), float(s)) for n, s in zip(images, scores, strict=True) if n >= 0]
        pictures = [GalleryImage(data.encoded(n), _title(data, n), f"{s:.2f}") for n, s in found]
        rows.append((method, remark, pictures))
    page = flags.out or (flags.workdir or Path()) / "search.html"
    atomic_write_text(page, gallery(query, rows))
    lines = [f"{method}: {', '.join(p.title for p in pictures)}" for method, _, pictures in rows]
    return "\n".join([*lines, f"page: {page}"])


def gallery_page(folder: Path, flags: Search) -> str:
    """The pictures of a gallery that are nearest to a query, as a page; their titles.

    Raises:
        UserError: there is no gallery of pictures, or one of its pictures is gone.
    """
    try:
        found = search_gallery(folder, flags.query, k=flags.k)
        pictures = [
            GalleryImage(Path(f.name).read_bytes(), f.title, f"{f.score:.2f}") for f in found
        ]
    except OSError as error:
        raise UserError(f"{folder}: {error}; index its pictures again") from error
    page = flags.out or folder / "search.html"
    atomic_write_text(page, gallery(flags.query, [("CLIP", "cosine", pictures)]))
    return "\n".join([*(f"{f.score:6.3f}  {f.title}" for f in found), f"page: {page}"])


def by_code(saved: SavedRun, ids: np.ndarray, k: int) -> TopK:
    """The k images whose vokens the language model finds likeliest for one query's tokens."""
    codes, n = saved.vokens.codes, len(saved.vokens.codes)
    model = model_of(saved.run, saved.words, saved.vokens, beams=k)
    trie = avg.gallery_trie(codes, model.sizes, np.arange(n))
    found = retrieve(avg.gallery_retriever(model, trie, n), {"params": saved.params}, ids, k=k)
    return TopK(found.ids[0], found.scores[0])


def by_vector(saved: SavedRun, query: str, ids: np.ndarray, k: int) -> TopK:
    """The k images whose features are nearest to those of a query, by cosine."""
    if saved.towers is not None:
        config = towers_of(saved.run, saved.words)
        text = np.asarray(embed_texts(config, saved.towers, jnp.asarray(ids)))[0]
    else:
        assert saved.run.clip is not None
        (text,) = load_clip_pair(saved.run.clip).texts.encode([query], progress=False)
    images = saved.features.images
    lengths = np.linalg.norm(images, axis=1) * np.linalg.norm(text)
    cosines = images @ text / np.maximum(lengths, 1e-12)
    best: Any = np.argsort(-cosines, kind="stable")[:k]
    return TopK(best, cosines[best])


def _title(data: CaptionedImages, image: int) -> str:
    rows = np.flatnonzero((data.image == image) & (data.kind == CAPTION))
    return data.text[rows[0]]


def load_data(run: AVGRun) -> tuple[CaptionedImages, ImageTextFeatures | None]:
    """The data of a run, and their features if they bring any.

    Raises:
        UserError: no such data set, files that are bad or missing, or a CLIP for data without
            pictures.
    """
    if run.data == "concepts":
        if run.clip is not None:
            raise UserError("--clip: the synthetic concepts have no pictures to read")
        counts = (140, 30, 30) if run.smoke else (1400, 300, 300)
        data, images, texts = concept_images(counts=counts)
        return data, ImageTextFeatures.of_unit(images, texts)
    own = Path(run.data).exists()
    with user_errors():
        try:
            if own:
                data = load_captions(run.data, images=run.manual_dir)
            else:
                name = "noto_emoji" if run.smoke else run.data
                data = load(
                    name, kind="captioned", data_dir=run.data_dir, manual_dir=run.manual_dir
                )
        except FileNotFoundError as error:
            raise UserError(str(error)) from error
    if run.smoke and not own:
        data = data.subset(np.arange(0, len(data.image_ids), _EVERY))
    return data, None


def index(flags: Index) -> str:
    """Encode pictures by a published CLIP, for `search --gallery`.

    Raises:
        UserError: pictures or encoder are missing or broken, or the output is not empty.
    """
    with user_errors():
        if flags.pictures.is_dir():
            files, titles = pictures_in(flags.pictures), None
        else:
            data = load_captions(flags.pictures)
            files = [flags.pictures.parent / name for name in data.image_ids]
            first = np.unique(data.image, return_index=True)[1]
            titles = [data.text[n] for n in first]
        places = {"titles": titles, "cache": flags.cache}
        count = index_pictures(files, flags.encoder, flags.out, **places)
    return f"{count:,} pictures in {flags.out}"
