"""Constrained beam search over a million codes: mmjax against tries of Python dictionaries.

    python -m experiments.benchmarks.decode [--torch-python PATH] [--out FILE]
    [--one-thread --cpu-time]

64 queries with 50 beams over codes of 4 tokens, timed in two ways:

- "whole" is a decoding from the first level to the last: at each a tiny model (a product of rank
  8, the same numbers on all sides), log-softmax, the constraint, the choice of the best 50 and the
  reordering of the beams.
- "step" is the constraint alone, without model, log-softmax or choice: from the beams of a level
  and their log-probabilities (fixed random numbers) to those in which only what the trie allows is
  not -inf. Timed together for the three levels after the first, where each query has 50 beams.

Candidates:

- "mmjax" is `beam_search`, and its reading of the trie; "mmjax, free" is `free_beam_search`.
- "jax, dictionary" is the same in JAX with a trie of Python dictionaries on the host, which a
  callback asks for the tokens of every beam.
- "transformers, dictionary" is Hugging Face's `generate` with such a trie behind
  `prefix_allowed_tokens_fn`, and its `PrefixConstrainedLogitsProcessor`; "transformers, free" is
  `generate` without it.

Candidates run in alternating rounds, PyTorch in a process of its own; speed-ups are medians of
the ratios within a round. Before that, all constrained searches must find the same codes. Codes
are drawn uniformly, or with the tokens of each level as popular as 1 / sqrt(rank) ("skewed").
With --one-thread --cpu-time the figures hold on a machine that has other work to do.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import harness
from experiments.benchmarks.decode.problem import (
    NestedTrie,
    allowed_tokens,
    log_probabilities,
    nested_trie,
)
from mmjax.blocks.decoding.beams import beam_search, free_beam_search
from mmjax.blocks.decoding.trie_walk import child, children
from mmjax.blocks.decoding.tries import Trie, build_trie
from mmjax.blocks.ranking.topk import top_k

BASELINE = "transformers, dictionary"
ALONE = "jax, dictionary"
"""The baseline without PyTorch."""
TASKS = ("whole", "step")
RANK = 8


class Catalogue(NamedTuple):
    """Codes to decode."""

    items: int
    vocabulary: int
    skewed: bool = False


CATALOGUES = {
    "100k, 256": Catalogue(100_000, 256),
    "1M, 256": Catalogue(1_000_000, 256),
    "1M, 256, skewed": Catalogue(1_000_000, 256, skewed=True),
    "1M, 1024": Catalogue(1_000_000, 1024),
    "tiny": Catalogue(300, 8),
}


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """Constrained beam search over a million codes: mmjax against tries of dictionaries."""

    catalogues: tuple[str, ...] = ("100k, 256", "1M, 256", "1M, 256, skewed", "1M, 1024")
    """Which catalogues."""
    queries: int = 64
    """Queries of a batch."""
    beams: int = 50
    """Beams of a query."""
    length: int = 4
    """Tokens of a code."""


def problem(catalogue: Catalogue, options: Options) -> dict[str, np.ndarray]:
    """Codes, and the model's queries [q, r], tokens [l, v, r] and outputs [l, r, v]."""
    draw = np.random.default_rng(0)
    n, v = catalogue.items, catalogue.vocabulary
    weight = (1 + np.arange(v)) ** (-0.5 if catalogue.skewed else 0.0)
    shape = (n, options.length)
    codes = np.stack(
        [draw.permutation(v)[draw.choice(v, n, p=weight / weight.sum())] for _ in range(shape[1])],
        1,
    )
    sizes = {
        "queries": (options.queries, RANK),
        "tokens": (options.length, v, RANK),
        "outputs": (options.length, RANK, v),
    }
    normal = {name: draw.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    return {"codes": codes.astype(np.int32), **normal}


def decode_step(weights: dict[str, Any]) -> Any:
    """The model: a product of the query plus the last token with the outputs of the level."""

    def step(query: Any, tokens: Any, level: int) -> Any:
        hidden = query if tokens is None else query + weights["tokens"][level - 1][tokens]
        return hidden @ weights["outputs"][level], query

    return step


def constrained(weights: dict[str, Any], trie: Trie, *, beams: int) -> Any:
    """Tokens and scores of `beam_search`."""
    query = weights["queries"][:, None]
    beam = beam_search(decode_step(weights), query, trie, batch=query.shape[0], width=beams)
    return beam.tokens, beam.scores


def free(weights: dict[str, Any], trie: Trie, *, beams: int) -> Any:
    """Tokens and scores of `free_beam_search`."""
    query = weights["queries"][:, None]
    beam = free_beam_search(decode_step(weights), query, trie, batch=query.shape[0], width=beams)
    return beam.tokens, beam.scores


def host_mask(trie: NestedTrie, prefixes: Any, size: int) -> Any:
    """Which of `size` tokens may follow prefixes [q, w, l], by asking the host."""

    def ask(prefixes: Any) -> np.ndarray:
        lead = np.shape(prefixes)[:2]
        rows = np.asarray(prefixes).reshape(lead[0] * lead[1], -1).tolist()
        mask = np.zeros((len(rows), size), bool)
        for row, prefix in zip(mask, rows, strict=True):
            row[allowed_tokens(trie, prefix)] = True
        return mask.reshape(*lead, size)

    shape = jax.ShapeDtypeStruct((*prefixes.shape[:2], size), jnp.bool_)
    return jax.pure_callback(ask, shape, prefixes)


def by_callback(weights: dict[str, Any], trie: NestedTrie, *, beams: int, length: int) -> Any:
    """The same search, asking a trie of dictionaries on the host."""
    query = weights["queries"][:, None]
    batch, step = query.shape[0], decode_step(weights)
    tokens, score = jnp.zeros((batch, 1, 0), jnp.int32), jnp.zeros((batch, 1))
    for level in range(length):
        logits, _ = step(query, tokens[:, :, -1] if level else None, level)
        size = logits.shape[2]
        gain = jnp.where(host_mask(trie, tokens, size), jax.nn.log_softmax(logits), -jnp.inf)
        total = (score[..., None] + gain).reshape(batch, -1)
        score, place = top_k(total, min(beams, total.shape[1]))
        parent, column = jnp.divmod(jnp.maximum(place, 0), size)
        kept = jnp.take_along_axis(tokens, parent[..., None], 1)
        tokens = jnp.concatenate([kept, column[..., None]], 2)
    return tokens, score


def steps(trie: Trie, nodes: Sequence[Any], log_probs: Any) -> list[Any]:
    """Log-probabilities of the children of the nodes of levels 1, 2, ..., and their tokens.

    Tokens are None where the log-probabilities are those of the whole vocabulary.
    """
    levels = []
    for level, node in enumerate(nodes, 1):
        token, there = children(trie, node, level=level)
        masked = trie.masks[level] is not None
        own = log_probs if masked else jnp.take_along_axis(log_probs, token, 2, mode="clip")
        levels.append((jnp.where(there, own, -jnp.inf), None if masked else token))
    return levels


def steps_by_callback(trie: NestedTrie, tokens: Any, log_probs: Any) -> list[Any]:
    """The same over the whole vocabulary, asking the host."""
    size = log_probs.shape[2]
    return [
        jnp.where(host_mask(trie, tokens[:, :, :level], size), log_probs, -jnp.inf)
        for level in range(1, tokens.shape[2])
    ]


def programs(trie: Trie, arrays: dict[str, np.ndarray], options: Options) -> dict[str, Any]:
    """Compiled searches and steps by "task: name", bound to their inputs."""
    weights = {key: jnp.asarray(value) for key, value in arrays.items() if key != "codes"}
    dictionaries, beams, length = nested_trie(arrays["codes"]), options.beams, options.length

    def bound(search: Any, *operands: Any) -> Any:
        compiled = jax.jit(search).lower(*operands).compile()
        return lambda: compiled(*operands)

    whole = bound(lambda w, t: constrained(w, t, beams=beams), weights, trie)
    tokens = whole()[0]
    nodes = [jnp.zeros(tokens.shape[:2], jnp.int32)]
    for level in range(length - 1):
        nodes.append(child(trie, nodes[-1], tokens[:, :, level], level=level))
    log_probs = jnp.asarray(log_probabilities(tokens.shape[:2], arrays["tokens"].shape[1]))
    return {
        "whole: mmjax": whole,
        "whole: mmjax, free": bound(lambda w, t: free(w, t, beams=beams), weights, trie),
        f"whole: {ALONE}": bound(
            lambda w: by_callback(w, dictionaries, beams=beams, length=length), weights
        ),
        "step: mmjax": bound(steps, trie, nodes[1:], log_probs),
        f"step: {ALONE}": bound(
            lambda t, x: steps_by_callback(dictionaries, t, x), tokens, log_probs
        ),
    }


def check_same(expected: Any, results: Any, name: str) -> None:
    """Codes of the ten best, but where two scores are as close as float32 rounds.

    Raises:
        ValueError: a search found others.
    """
    for (a, b), what in zip(zip(expected, results, strict=True), ("codes", "scores"), strict=True):
        a, b = np.asarray(a)[:, :10], np.asarray(b)[:, :10]
        same = np.isclose(a, b, rtol=1e-4, atol=1e-4)
        if same.mean() < 0.995:
            raise ValueError(f"{name}: {1 - same.mean():.1%} of its {what} differ from mmjax's")


def measure(name: str, options: Options) -> dict[str, Any]:
    """All candidates on one catalogue; prints its table."""
    catalogue = CATALOGUES[name]
    arrays = problem(catalogue, options)
    start = time.perf_counter()
    trie = build_trie(arrays["codes"], [catalogue.vocabulary] * options.length)
    built = time.perf_counter() - start
    result: dict[str, Any] = {
        **catalogue._asdict(),
        "nodes": trie.n_nodes,
        "branching": trie.branching,
        "build_seconds": built,
        "mib": sum(x.nbytes for x in jax.tree.leaves(trie)) / 2**20,
    }
    print(
        f"\n{name}: {catalogue.items:,} items, {trie.n_nodes:,} nodes, most children "
        f"{trie.branching}, {result['mib']:.0f} MiB, built in {built:.1f} s",
        flush=True,
    )
    runs = programs(trie, arrays, options)
    expected = runs["whole: mmjax"]()
    check_same(expected, runs[f"whole: {ALONE}"](), ALONE)
    # What takes milliseconds is repeated within a round.
    candidates = {
        label: harness.timed(
            run,
            wait=jax.block_until_ready,
            repeat=1 if ALONE in label else 10,
            clock=harness.clock(options),
        )
        for label, run in runs.items()
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.savez(folder / "problem.npz", allow_pickle=False, **arrays)
        inputs = {"folder": str(folder), "beams": options.beams}
        peer = stack.enter_context(
            harness.peer(options, __name__, ("torch", "transformers"), **inputs)
        )
        if peer.about:
            with np.load(folder / "results.npz") as file:
                check_same(expected, (file["tokens"], file["scores"]), BASELINE)
            result["torch"] = peer.about
        samples = harness.interleaved(
            candidates | dict(peer.candidates), rounds=options.rounds, warmup=1
        )
    for task in TASKS:
        own = {
            label.removeprefix(f"{task}: "): seconds
            for label, seconds in samples.items()
            if label.startswith(task)
        }
        baseline = BASELINE if BASELINE in own else ALONE
        rows = harness.summary(own, baseline)
        print(f"\n{task}\n{harness.table(rows, baseline)}", flush=True)
        result[task] = {"baseline": baseline, "rows": [row._asdict() for row in rows]}
    return result


def main(options: Options) -> None:
    """Measure every catalogue, print the tables and write the JSON.

    Raises:
        ValueError: a catalogue of no such name.
    """
    if unknown := [name for name in options.catalogues if name not in CATALOGUES]:
        raise ValueError(f"catalogues are {'; '.join(CATALOGUES)}, got {unknown[0]!r}")
    harness.limit_threads(options)
    record = {
        **harness.record(options),
        "queries": options.queries,
        "beams": options.beams,
        "length": options.length,
        "catalogues": {name: measure(name, options) for name in options.catalogues},
    }
    harness.write(options, record)
