"""A tiny problem for every method of the registry: a model, a batch, and queries.

A method that is added to the registry without a case here fails the contract tests.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.blocks.sequences.packing import packed, tokens
from mmjax.encoders.image_text.clip import ClipConfig, ClipTextConfig, ClipVisionConfig
from mmjax.encoders.text.bert import Bert, BertConfig
from mmjax.models.common.query_task import QueryTask
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.common.task import Task
from mmjax.models.generative import mmgrec, rq_vae, tiger
from mmjax.models.registry import METHODS
from mmjax.models.retrieval import avg, avg_tokenizer, prompt_dsi, two_tower
from mmjax.models.retrieval.avg.config import AVGTokenizerConfig
from mmjax.models.retrieval.prompt_dsi.stages import new_pool, new_rows, prompt_stage
from mmjax.models.sequential import sasrec
from mmjax.objective import Objective
from mmjax.retriever import Retriever

N_USERS, N_ITEMS = 6, 5
PAIRS = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [3, 3], [3, 0], [4, 3], [4, 1]], np.int32)
HISTORIES = ([0, 3, 2, 1], [4], [2, 2, 0], [1, 4, 4])
CODES = np.array([[0, 0], [0, 1], [1, 1], [2, 0], [2, 1]])
SIZES = (3, 2)


def key() -> jax.Array:
    """The same key afresh; a key that was used once is refused."""
    return jax.random.key(3)


class Case(NamedTuple):
    """One method on a tiny problem; the last of the batch's four rows does not count."""

    objective: Objective
    retriever: Retriever | None
    batch: dict[str, Any]
    queries: Any = None
    drawn: frozenset[str] = frozenset()
    """Entries of the batch that are no rows: what an epoch draws."""


_SIZES: dict[str, Any] = {
    "width": 4, "content_width": 4, "id_width": 4, "meta_width": 2, "factor_width": 2,
    "hidden": 8, "latent": 8, "samples": 2, "rank": 2, "hyperedges": 2, "projection_width": 3,
    "attention_width": 2, "widths": (6, 4), "k": 2, "length": 4, "history": 3, "layers": 1,
    "decoder_layers": 1, "heads": 2, "head_width": 4, "gate_hidden": 3, "beams": 5,
    "rank_beams": 2, "user_buckets": 3,
}  # fmt: skip


def tiny(config: Any, *, noise: bool = False) -> Any:
    """`config` with few of everything, and without dropout unless `noise` is set."""
    changes = {n: v for n, v in _SIZES.items() if hasattr(config, n)}
    if isinstance(changes.get("k"), int) and isinstance(getattr(config, "k", 0), tuple):
        changes["k"] = (2,)
    for field in dataclasses.fields(config):
        if field.name.endswith("dropout"):
            changes[field.name] = 0.5 if noise else 0.0
    return dataclasses.replace(config, **changes)


def _interactions(name: str, noise: bool) -> Case:
    draw = np.random.default_rng(0)
    features = {"text": draw.normal(size=(N_ITEMS, 7)), "image": draw.normal(size=(N_ITEMS, 9))}
    labels = {"colour": np.array([0, 1, 1, 0, 2]), "shape": np.array([1, 0, 1, 0, 1])}
    features = {n: x.astype(np.float32) for n, x in features.items()}
    task = Task(PAIRS, N_USERS, N_ITEMS, features, labels)
    method = METHODS[name]
    model = method.builder()(tiny(method.config_class()(), noise=noise), task)
    batch = {
        "user": jnp.array([0, 1, 3, 0]),
        "item": jnp.array([0, 2, 3, 4]),
        "negatives": jnp.array([[3], [4], [1], [0]]),
        "where": jnp.array([True, True, True, False]),
    }
    drawn = {} if model.objective.epoch is None else model.objective.epoch(key())
    users = jnp.arange(N_USERS)
    return Case(*model, batch | drawn, users, frozenset(drawn))


def _sequence_task() -> SequenceTask:
    lengths = np.array([len(h) for h in HISTORIES])
    stop = np.cumsum(lengths)
    items = np.concatenate([np.asarray(h, np.int32) for h in HISTORIES])
    return SequenceTask(items, stop - lengths, stop, N_ITEMS)


def _sasrec(noise: bool) -> Case:
    config = tiny(METHODS["sasrec"].config_class()(loss="softmax"), noise=noise)
    task = _sequence_task()
    model = sasrec.build(config, task)
    rows = packed(task.items, task.start, np.asarray(task.stop) - 1, config.length)
    index = jnp.arange(4) % rows.window.shape[0]
    where = jnp.array([True, True, True, False])
    return Case(*model, tokens(rows, index)._asdict() | {"where": where}, jnp.arange(4))


def _tiger(noise: bool) -> Case:
    config = tiny(METHODS["tiger"].config_class()(), noise=noise)
    model = tiger.build(config, _sequence_task(), CODES, SIZES)
    batch = {
        "user": jnp.array([0, 3, 2, 1]),
        "history": jnp.array([[0, 3, 2], [-1, -1, 1], [-1, 1, 4], [0, 0, 0]]),
        "item": jnp.array([1, 2, 0, 4]),
        "where": jnp.array([True, True, True, False]),
    }
    return Case(*model, batch, jnp.arange(4))


def _mmgrec(noise: bool) -> Case:
    draw = np.random.default_rng(0)
    inputs = mmgrec.Inputs(
        jnp.asarray(draw.normal(size=(N_ITEMS, 8)), jnp.float32),
        jnp.asarray(draw.normal(size=(4, 8)), jnp.float32),
        jnp.asarray(CODES, jnp.int32),
    )
    known = np.array([[4, 1, 3], [3, 0, -1], [2, -1, -1], [-1, -1, -1]])
    config = tiny(METHODS["mmgrec"].config_class()(), noise=noise)
    model = mmgrec.build(config, inputs, SIZES, known)
    user = jnp.array([0, 2, 3, 1])
    batch = {
        "user": user,
        "history": jnp.asarray(known, jnp.int32)[user],
        "items": jnp.array([[0, 3], [1, 4], [2, -1], [0, 0]]),
        "where": jnp.array([True, True, True, False]),
    }
    return Case(*model, batch, jnp.arange(4))


def _rq_vae(noise: bool) -> Case:
    draw = np.random.default_rng(0)
    config = METHODS["rq_vae"].config_class()(
        widths=(8,), latent=4, sizes=(3, 2), revive_below=0.0, init="uniform"
    )
    if noise:
        config = dataclasses.replace(config, estimator="gumbel")
    objective = rq_vae.build(config, draw.normal(size=(12, 5)).astype(np.float32))
    rows = {"row": jnp.arange(4), "where": jnp.array([True, True, True, False])}
    return Case(objective, None, rows)


def _captions() -> QueryTask:
    captions = np.random.default_rng(0).integers(3, 12, (8, 4))
    return QueryTask(captions, np.arange(8) % N_ITEMS)


_ROWS = {"row": jnp.arange(4), "where": jnp.array([True, True, True, False])}


def _avg(noise: bool) -> Case:
    config = tiny(METHODS["avg"].config_class()(), noise=noise)
    books = tuple(np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32) for _ in SIZES)
    codes = np.array([[0, 0], [0, 1], [1, 1], [2, 0], [2, 2]])
    task = _captions()
    vokens = avg.Vokens(codes, books)
    model = avg.build(config, task, vokens, np.arange(N_ITEMS), vocabulary=12)
    return Case(*model, _ROWS, jnp.asarray(task.queries[:4], jnp.int32))


def _avg_tokenizer(noise: bool) -> Case:
    draw = np.random.default_rng(2)
    config = AVGTokenizerConfig(
        (6,), latent=4, sizes=(3, 3), dropout=0.5 if noise else 0.0, init="uniform"
    )
    images, texts = (draw.normal(size=(n, 7)).astype(np.float32) for n in (N_ITEMS, 8))
    captions = avg_tokenizer.Captions(np.arange(8) % N_ITEMS, texts)
    return Case(avg_tokenizer.build(config, images, captions), None, _ROWS)


def _two_tower(noise: bool) -> Case:
    same: dict[str, Any] = {"width": 8, "layers": 1, "heads": 2, "hidden": 8, "projection": 6}
    text = ClipTextConfig(vocabulary=12, positions=4, end_id=3, pad_id=0, **same)
    config = ClipConfig(text, ClipVisionConfig(image=(8, 8), patch=(4, 4), **same))
    pixels = np.random.default_rng(0).integers(0, 256, (N_ITEMS, 8, 8, 3)).astype(np.uint8)
    task = _captions()
    model = two_tower.build(config, task, pixels)
    return Case(*model, _ROWS, jnp.asarray(task.queries[:4], jnp.int32))


def _prompt_dsi(noise: bool) -> Case:
    encoder = Bert(
        BertConfig(vocabulary=12, width=8, layers=2, heads=2, hidden=8, positions=4, pooler=False)
    )
    config = METHODS["prompt_dsi"].config_class()(
        pool=4, length=2, top_k=1, dropout=0.5 if noise else 0.0
    )
    task = _captions()
    params = encoder.init(key(), jnp.asarray(task.queries, jnp.int32))["params"]
    weights = {"encoder": params, "rows": new_rows(key(), N_ITEMS, 8)}
    keys = jax.random.normal(key(), (config.pool, 8))
    weights |= {"pool": new_pool(key(), config, encoder, keys)}
    stage = prompt_stage(config, 1, 1, 2, N_ITEMS - 2)
    late = QueryTask(task.queries[:4], np.array([2, 3, 4, 2]))
    model = prompt_dsi.build(config, encoder, stage, weights, late)
    return Case(*model, _ROWS, jnp.asarray(task.queries[:4], jnp.int32))


_BUILDERS: dict[str, Callable[[bool], Case]] = {
    "sasrec": _sasrec,
    "tiger": _tiger,
    "mmgrec": _mmgrec,
    "rq_vae": _rq_vae,
    "avg": _avg,
    "avg_tokenizer": _avg_tokenizer,
    "two_tower": _two_tower,
    "prompt_dsi": _prompt_dsi,
}
SOLVED = ("incdsi",)
"""Methods that are solved for in closed form and have no objective."""
NAMES = [name for name in METHODS if name not in SOLVED]


@functools.cache
def case(name: str, *, noise: bool = False) -> Case:
    """The tiny problem of a method; `noise` turns its dropout on.

    Raises:
        KeyError: the method has no case here.
    """
    if name in _BUILDERS:
        return _BUILDERS[name](noise)
    if METHODS[name].kind != "interactions":
        raise KeyError(f"add a case for {name} to tests/contracts/cases.py")
    return _interactions(name, noise)


def rows_of(case: Case, rows: Any) -> dict[str, Any]:
    """The batch with some of its rows; what an epoch draws stays whole."""
    return {n: x if n in case.drawn else x[rows] for n, x in case.batch.items()}
