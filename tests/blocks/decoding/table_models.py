"""Models that are tables, and beam search over dictionaries, for the tests of decoding.

The logits of a level are a row chosen by a hash of the query and of the whole prefix, which
travels in the carry. So any beam that is given another's carry shows.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.decoding.beams import beam_items, beam_search, score_codes
from mmjax.blocks.decoding.trie_subsets import block
from mmjax.blocks.decoding.tries import build_trie

ROWS = 1009
BATCH = 3


def corpus(seed, n, length, size):
    """Codes, many of them repeated, and vocabularies of one token more than they use."""
    return np.random.default_rng(seed).integers(0, size, (n, length)), [size + 1] * length


def tables(seed, sizes):
    draw = np.random.default_rng(seed)
    return [jnp.asarray(2 * draw.normal(size=(ROWS, v)), jnp.float32) for v in sizes]


def hashed(state, token, level):
    return (31 * state + 7 * level + token + 1) % ROWS


def model(tables):
    def step(carry, tokens, level):
        state = carry["hash"]
        if tokens is not None:
            state = hashed(state, tokens, level)
        return tables[level][state], {"hash": state}

    return step


def first_state():
    return {"hash": 13 * jnp.arange(BATCH, dtype=jnp.int32)[:, None] % ROWS}


def decode(tables, trie, start=None, items=None, *, width, k, normalize="full", kind=block):
    """Beams and items of all queries."""
    subset = None if items is None else kind(trie, items)
    beams = beam_search(
        model(tables),
        first_state(),
        trie,
        batch=BATCH,
        width=width,
        start=start,
        subset=subset,
        normalize=normalize,
    )
    return beams, beam_items(beams, trie, k=k, subset=subset)


search = jax.jit(decode, static_argnames=("width", "k", "normalize", "kind"))


@partial(jax.jit, static_argnames=("normalize",))
def scored(tables, codes, trie=None, start=None, *, normalize="full"):
    """`score_codes` of codes of all queries."""
    return score_codes(
        model(tables), first_state(), codes, trie=trie, start=start, normalize=normalize
    )


def _log_softmax(x):
    x = np.asarray(x, np.float64)
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def offspring(codes):
    """Prefix -> its tokens, ascending."""
    found = {}
    for code in np.asarray(codes).tolist():
        for level in range(len(code)):
            found.setdefault(tuple(code[:level]), set()).add(code[level])
    return {prefix: sorted(tokens) for prefix, tokens in found.items()}


def twin(tables, codes, query, width, normalize="full", end=None):
    """Codes [n, l] and scores [n] of the best beams of one query; none without codes."""
    tree = offspring(codes)
    tables = [np.asarray(table) for table in tables]
    beams = [((), 13 * query % ROWS, 0.0)] if len(codes) else []
    for level, table in enumerate(tables):
        grown = []
        for prefix, state, score in beams:
            state = hashed(state, prefix[-1], level) if level else state
            tokens, logits = tree[prefix], table[state]
            if end is not None and level and prefix[-1] == end:
                gain = [0.0]
            elif normalize == "valid":
                gain = _log_softmax(logits[tokens])
            else:
                gain = _log_softmax(logits)[tokens]
            grown += [((*prefix, t), state, score + g) for t, g in zip(tokens, gain, strict=True)]
        beams = sorted(grown, key=lambda beam: -beam[2])[:width]
    shape = (len(beams), len(tables))
    return np.reshape([code for code, _, _ in beams], shape), [score for _, _, score in beams]


def assert_is_twin(beams, tables, codes, width, normalize="full", **options):
    """The live beams are the twin's, the others dead; `codes` are one set, or one a query."""
    parts = codes if isinstance(codes, list) else [codes] * BATCH
    for query, own in enumerate(parts):
        tokens, scores = twin(tables, own, query, width, normalize, **options)
        n = len(tokens)
        assert_array_equal(beams.tokens[query, :n], tokens)
        assert_allclose(beams.scores[query, :n], scores, rtol=1e-4, atol=1e-4)
        assert (beams.leaves[query, :n] >= 0).all()
        assert (beams.tokens[query, n:] == -1).all()
        assert (beams.scores[query, n:] == -np.inf).all()
        assert (beams.leaves[query, n:] == -1).all()


def items_by_rank(beams, codes, query, left=None):
    """Items in the order of the beams that hold their code, by id within one."""
    found = []
    for code in np.asarray(beams.tokens[query]):
        same = np.flatnonzero((codes == code).all(1)).tolist()
        found += same if left is None else [item for item in same if item in left]
    return found


def on_host(tree):
    """The tree with numpy arrays, which are compared without compiling anything."""
    return jax.tree.map(np.asarray, tree)


CODES, SIZES = corpus(0, 50, 3, 4)
TABLES = tables(0, SIZES)
TRIE = build_trie(CODES, SIZES)
