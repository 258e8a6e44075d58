"""A user's recommendation by TIGER, with and without a cache of keys and values.

    python -m experiments.benchmarks.latency [--out FILE] [--one-thread --cpu-time]

From a history of item numbers to ten items, whole: the encoder, beam search held to the ids of the
catalogue, items in order. Weights and ids are random, which costs the same as trained ones.

- "cache" is `tiger.recommend` of mmjax: a step reads one token a beam, and the memory's keys
  and values once for all beams.
- "no cache" decodes all tokens so far at each level again, over a copy of the memory a beam.

Both must find the same items. They run in alternating rounds; speed-ups are medians of the
ratios within a round.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.benchmarks import harness
from experiments.tiger.config import preset
from mmjax.blocks.decoding.beams import beam_items, beam_search
from mmjax.blocks.decoding.tries import build_trie
from mmjax.models.generative import tiger
from mmjax.models.generative.tiger.config import TIGERConfig
from mmjax.retriever import TopK

BASELINE = "no cache"
_K = 10
"""Items that a search finds."""
SIZES = (256, 256, 256, 18)
"""Codes of each level, as many as ids of Amazon Beauty have."""


@dataclass(frozen=True)
class Options(harness.Options):
    """TIGER's latency with and without a cache."""

    models: tuple[str, ...] = ("tuned", "paper")
    """Presets of TIGER, or "tiny"."""
    users: tuple[int, ...] = (1, 64)
    """Users of a batch."""
    items: int = 12_101
    """Items of the catalogue."""
    beams: int = 50
    """Beams of the search."""


def tiger_config(name: str) -> TIGERConfig:
    """The model of TIGER's preset of that name; "tiny" is for tests."""
    if name != "tiny":
        config: Any = preset("tiger", "amazon_beauty", name).model
        return config
    tuned = tiger_config("tuned")
    ids = dataclasses.replace(tuned.ids, sizes=(16, 16))
    sizes = {"width": 8, "layers": 1, "heads": 1, "head_width": 8, "hidden": 8, "history": 3}
    return dataclasses.replace(tuned, ids=ids, **sizes)


def without_cache(
    model: tiger.TIGER,
    params: Any,
    ids: tiger.ItemIds,
    history: Array,
    user: Array,
    *,
    k: int,
) -> TopK:
    """`tiger.recommend`, but all tokens so far are decoded again at every level."""
    bound = functools.partial(model.apply, {"params": params})
    memory: Any = bound(ids.codes, history, user, method=_remember)

    def step(tokens: Any, last: Any, level: int) -> tuple[Array, Any]:
        if last is not None:
            tokens = tokens.at[:, :, level - 1].set(last + model.first[level - 1])
        b, w, n = tokens.shape
        own = (jnp.repeat(x, w, axis=0) for x in memory)
        logits: Any = bound(tokens.reshape(b * w, n)[:, : level + 1], *own, method=_decode)
        return model.of_level(logits[:, level].reshape(b, w, -1), level), tokens

    start = jnp.zeros((len(user), 1, len(model.sizes)), jnp.int32)
    beams = beam_search(step, start, ids.trie, batch=len(user), width=model.config.beams)
    return TopK(*beam_items(beams, ids.trie, k=k))


def _remember(model: tiger.TIGER, *inputs: Array) -> tuple[Array, Array]:
    tokens, mask = model.source(*inputs)
    return model.t5.encode(tokens, mask), mask


def _decode(model: tiger.TIGER, *inputs: Array) -> Array:
    return model.t5.decode(*inputs)


def problem(config: TIGERConfig, items: int) -> tuple[tiger.TIGER, Any, tiger.ItemIds]:
    """A model with random weights, its parameters, and random distinct ids with their trie."""
    draw = np.random.default_rng(0)
    number = draw.choice(int(np.prod(SIZES)), items, replace=False)
    codes = np.stack(np.unravel_index(number, SIZES), 1).astype(np.int32)
    table, one = jnp.asarray(codes), jnp.zeros(1, jnp.int32)
    model = tiger.TIGER(config, SIZES)
    params: Any = model.init(jax.random.key(0), table, one[:, None], one, one)
    return model, params["params"], tiger.ItemIds(table, build_trie(codes, SIZES))


def measure(config: TIGERConfig, users: int, options: Options) -> dict[str, Any]:
    """Both on one batch; prints their table."""
    model, *catalogue = problem(config, options.items)
    draw = np.random.default_rng(1)
    history = jnp.asarray(draw.integers(options.items, size=(users, config.history)))
    operands = (*catalogue, history, jnp.arange(users))
    candidates, results = {}, []
    for name, search in (("cache", tiger.recommend), (BASELINE, without_cache)):
        run = jax.jit(functools.partial(search, model, k=_K)).lower(*operands).compile()
        results.append(run(*operands))
        candidates[name] = harness.timed(
            functools.partial(run, *operands),
            wait=jax.block_until_ready,
            repeat=max(1, 16 // users),
            clock=harness.clock(options),
        )
    check_same(*results)
    compared = harness.compare(candidates, BASELINE, rounds=options.rounds)
    return {"users": users, "rows": compared.records}


def check_same(cached: TopK, again: TopK) -> None:
    """Both find the same items, but where scores are as close as float32 rounds.

    Raises:
        ValueError: they do not.
    """
    scores = np.isclose(cached.scores, again.scores, rtol=1e-4, atol=1e-4).mean()
    items = np.mean(np.asarray(cached.ids) == np.asarray(again.ids))
    if min(scores, items) < 0.99:
        raise ValueError(
            f"without a cache {1 - items:.1%} of the items and {1 - scores:.1%} of the scores "
            "differ"
        )


def main(options: Options) -> None:
    """Measure every model and batch, print the tables and write the JSON."""
    harness.limit_threads(options)
    models: dict[str, Any] = {}
    for name in options.models:
        config = dataclasses.replace(tiger_config(name), beams=options.beams)
        models[name] = []
        for users in options.users:
            print(f"\n{name}, {users} users", flush=True)
            models[name].append(measure(config, users, options))
    record = {
        **harness.record(options),
        "items": options.items,
        "beams": options.beams,
        "models": models,
    }
    harness.write(options, record)
