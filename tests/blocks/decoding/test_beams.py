"""Beam search against exhaustive scoring and against its twin over dictionaries."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.blocks.decoding.beams import (
    NORMALIZE,
    beam_items,
    beam_search,
    free_beam_search,
    invalid_rate,
    score_codes,
)
from mmjax.blocks.decoding.tries import build_trie, leaf_codes
from tests.blocks.decoding.table_models import (
    BATCH,
    CODES,
    ROWS,
    SIZES,
    TABLES,
    TRIE,
    assert_is_twin,
    corpus,
    decode,
    first_state,
    hashed,
    items_by_rank,
    model,
    offspring,
    on_host,
    scored,
    search,
    tables,
    twin,
)

# Few tries, many models: a trie of another shape is compiled anew.
CASES = (
    ((1, 30, 3, 4), 4, "full"),
    ((2, 30, 4, 2), 5, "valid"),
    ((3, 6, 3, 1), 2, "full"),
    ((4, 1, 2, 5), 3, "valid"),
    ((5, 25, 1, 9), 1, "full"),
)
EVERY = np.stack(np.unravel_index(np.arange(27), (3, 3, 3)), 1)
many = settings(max_examples=20)
models = st.integers(0, 2**31)


@many
@given(st.sampled_from(CASES), models)
def test_a_wide_beam_is_exhaustive_ranking(case, seed):
    drawn, _, normalize = case
    codes, sizes = corpus(*drawn)
    t, trie = tables(seed, sizes), build_trie(codes, sizes)
    beams, (items, scores) = on_host(search(t, trie, width=31, k=32, normalize=normalize))
    distinct = np.broadcast_to(leaf_codes(trie), (BATCH, *leaf_codes(trie).shape))
    expected = np.asarray(scored(t, jnp.asarray(distinct), trie, normalize=normalize))
    order = np.argsort(-expected, axis=1, kind="stable")
    n = order.shape[1]
    assert_array_equal(beams.leaves[:, :n], order)
    ranked_scores = np.take_along_axis(expected, order, 1)
    assert_allclose(beams.scores[:, :n], ranked_scores, rtol=1e-5, atol=1e-5)
    assert_is_twin(beams, t, codes, 31, normalize)
    for query in range(BATCH):
        ranked = items_by_rank(beams, codes, query)
        assert items[query].tolist() == ranked + [-1] * (32 - len(ranked))
        assert sorted(ranked) == list(range(len(codes)))
    assert (np.diff(np.nan_to_num(scores, neginf=-1e9)) <= 0).all()


@many
@given(st.sampled_from(CASES), models)
def test_a_narrow_beam_is_its_twin(case, seed):
    drawn, width, normalize = case
    codes, sizes = corpus(*drawn)
    t, trie = tables(seed, sizes), build_trie(codes, sizes)
    beams, _ = on_host(search(t, trie, width=width, k=1, normalize=normalize))
    assert_is_twin(beams, t, codes, width, normalize)


def test_width_one_is_greedy():
    beams, _ = on_host(search(TABLES, TRIE, width=1, k=1))
    tree, greedy = offspring(CODES), [np.asarray(table) for table in TABLES]
    for query in range(BATCH):
        state, prefix = 13 * query, ()
        for level, table in enumerate(greedy):
            state = hashed(state, prefix[-1], level) if level else state
            prefix += (max(tree[prefix], key=lambda token, row=table[state]: row[token]),)
        assert tuple(beams.tokens[query, 0].tolist()) == prefix


def test_equal_scores_keep_the_order_of_codes():
    flat = [jnp.zeros((ROWS, v)) for v in SIZES]
    beams, _ = on_host(search(flat, TRIE, width=7, k=9))
    assert_array_equal(beams.leaves, np.broadcast_to(np.arange(7), (BATCH, 7)))


def test_the_order_of_the_rows_is_immaterial():
    order = np.random.default_rng(0).permutation(len(CODES))
    beams, (items, scores) = on_host(search(TABLES, TRIE, width=7, k=9))
    named = build_trie(CODES[order], SIZES, items=order)
    chex.assert_trees_all_equal(
        (beams, (items, scores)), on_host(search(TABLES, named, width=7, k=9))
    )
    numbered = build_trie(CODES[order], SIZES)
    again, (moved, moved_scores) = on_host(search(TABLES, numbered, width=7, k=9))
    chex.assert_trees_all_equal(again, beams)
    assert_array_equal(moved_scores, scores)
    assert_array_equal(CODES[order][moved], CODES[items])


@pytest.mark.parametrize("dense", [False, True])
def test_masks_change_nothing(dense):
    other = on_host(search(TABLES, build_trie(CODES, SIZES, dense=dense), width=7, k=9))
    chex.assert_trees_all_close(other, on_host(search(TABLES, TRIE, width=7, k=9)), rtol=1e-6)


def test_full_is_at_most_valid_and_equal_where_every_token_is_a_child():
    own = np.broadcast_to(leaf_codes(TRIE), (BATCH, *leaf_codes(TRIE).shape))
    full, valid = (
        np.asarray(scored(TABLES, jnp.asarray(own), TRIE, normalize=n)) for n in NORMALIZE
    )
    assert (full < valid).all()
    t, trie = tables(6, [3] * 3), build_trie(EVERY)
    full, valid = (on_host(search(t, trie, width=27, k=1, normalize=n))[0] for n in NORMALIZE)
    assert_allclose(full.scores, valid.scores, rtol=1e-5)
    assert_array_equal(full.tokens, valid.tokens)


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_every_query_searches_its_own_category(normalize):
    roots = np.random.default_rng(7).integers(0, 3, len(CODES))
    trie, start = build_trie(CODES, SIZES, roots=roots), jnp.array([2, 0, 1], jnp.int32)
    beams, (items, _) = on_host(search(TABLES, trie, start, width=7, k=4, normalize=normalize))
    assert_is_twin(beams, TABLES, [CODES[roots == r] for r in (2, 0, 1)], 7, normalize)
    assert_array_equal(roots[items], np.repeat(start[:, None], 4, 1))
    again = scored(TABLES, jnp.asarray(beams.tokens), trie, start, normalize=normalize)
    assert_allclose(again, beams.scores, rtol=1e-5)
    away = jnp.array([3, -1, 1], jnp.int32)
    nowhere, (items, _) = on_host(search(TABLES, trie, away, width=7, k=4, normalize=normalize))
    assert (nowhere.leaves[:2] == -1).all() and (items[:2] == -1).all()
    assert_array_equal(nowhere.leaves[2], beams.leaves[2])


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_a_finished_beam_keeps_its_score(normalize):
    codes, sizes = corpus(8, 60, 4, 4)
    codes = np.where(np.maximum.accumulate(codes == 2, axis=1), 2, codes)
    t, trie = tables(8, sizes), build_trie(codes, sizes, end=2)
    beams, _ = on_host(search(t, trie, width=9, k=1, normalize=normalize))
    assert (beams.tokens[:, :, 1] == 2).any()
    assert_is_twin(beams, t, codes, 9, normalize, end=2)
    again = scored(t, jnp.asarray(beams.tokens), trie, normalize=normalize)
    assert_allclose(again, beams.scores, rtol=1e-5, atol=1e-5)
    impossible = [*t[:3], t[3].at[:, 2].set(-jnp.inf)]
    beams, _ = on_host(search(impossible, trie, width=60, k=1, normalize=normalize))
    ended = beams.leaves[beams.tokens[..., 3] == 2]
    expected = (leaf_codes(trie)[:, 2] == 2).sum()
    assert len(ended) == BATCH * expected > 0


# ---- without the trie


@partial(jax.jit, static_argnames=("width", "drop"))
def freely(tables, trie, start=None, *, width, drop=()):
    carry = first_state()
    options = {"batch": BATCH, "width": width, "start": start, "drop": drop}
    beams = free_beam_search(model(tables), carry, trie, **options)
    return beams, invalid_rate(beams)


def test_free_search_is_exhaustive_over_all_sequences():
    codes, _ = corpus(9, 12, 3, 3)
    own = len(np.unique(codes, axis=0))
    t = tables(9, [3] * 3)
    free, invalid = on_host(freely(t, build_trie(codes, [3] * 3), width=30))
    assert_array_equal((free.leaves >= 0).sum(1), [own] * BATCH)
    assert_allclose(invalid, 1 - own / 27, rtol=1e-6)
    for query in range(BATCH):
        tokens, scores = twin(t, EVERY, query, 30)
        assert_array_equal(free.tokens[query, :27], tokens)
        assert_allclose(free.scores[query, :27], scores, rtol=1e-4, atol=1e-4)
    assert (free.scores[:, 27:] == -np.inf).all()
    again = scored(t, jnp.asarray(free.tokens[:, :27]))
    assert_allclose(again, free.scores[:, :27], rtol=1e-5, atol=1e-5)


def test_dropped_tokens_keep_their_probability():
    trie = build_trie(CODES, SIZES, n_roots=2)
    start = jnp.array([0, 0, 1], jnp.int32)
    free, invalid = on_host(freely(TABLES, trie, start, width=9, drop=(0, 4)))
    for query in range(BATCH):
        tokens, scores = twin(TABLES, EVERY + 1, query, 9)
        assert_array_equal(free.tokens[query], tokens)
        assert_allclose(free.scores[query], scores, rtol=1e-4, atol=1e-4)
    assert (free.leaves[2] == -1).all() and invalid[2] == 1


def test_codes_outside_the_trie_score_minus_infinity():
    codes = jnp.asarray(np.broadcast_to([CODES[0], [4, 4, 4]], (BATCH, 2, 3)), jnp.int32)
    for normalize in NORMALIZE:
        score = np.asarray(scored(TABLES, codes, TRIE, normalize=normalize))
        assert np.isfinite(score[:, 0]).all() and (score[:, 1] == -np.inf).all()
    assert np.isfinite(np.asarray(scored(TABLES, codes))).all()


# ---- the program


def test_one_beam_at_level_0_and_never_more_than_there_can_be():
    trie = build_trie(np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 2, 0], [1, 2, 1]]))
    seen = []

    def step(carry, tokens, level):
        seen.append((level, carry.shape, None if tokens is None else tokens.shape))
        return jnp.zeros((2, carry.shape[1], trie.sizes[level])), carry

    beams = jax.eval_shape(
        lambda trie: beam_search(step, jnp.zeros((2, 1, 4)), trie, batch=2, width=9), trie
    )
    assert seen == [(0, (2, 1, 4), None), (1, (2, 2, 4), (2, 2)), (2, (2, 4, 4), (2, 4))]
    chex.assert_shape(beams, [(2, 9, 3), (2, 9), (2, 9)])


def test_traces_once_and_calls_nothing_on_the_host():
    @jax.jit
    @chex.assert_max_traces(1)
    def run(tables, trie, start, items):
        return decode(tables, trie, start, items, width=6, k=5)

    items, start = jnp.zeros((BATCH, 5), jnp.int32), jnp.zeros(BATCH, jnp.int32)
    for seed in range(3):
        run(tables(seed, SIZES), TRIE, start, items + seed)
    text = str(jax.make_jaxpr(partial(decode, width=6, k=5))(TABLES, TRIE, start, items))
    assert "top_k" in text and "callback" not in text


@pytest.mark.multi
def test_under_vmap_and_split_over_devices():
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(tables(seed, SIZES) for seed in range(4)))
    alone = [on_host(search(tables(seed, SIZES), TRIE, width=7, k=9)) for seed in range(4)]
    expected = jax.tree.map(lambda *x: np.stack(x), *alone)

    def run(tables, trie):
        return decode(tables, trie, width=7, k=9)

    together = jax.jit(jax.vmap(run, in_axes=(0, None)))
    chex.assert_trees_all_close(on_host(together(stacked, TRIE)), expected, rtol=1e-6)

    def per_device(tables, trie):
        found = run(jax.tree.map(lambda x: x[0], tables), trie)
        return jax.tree.map(lambda x: x[None], found)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    specs = {"in_specs": (P("data"), P()), "out_specs": P("data"), "check_vma": False}
    split = jax.jit(jax.shard_map(per_device, mesh=mesh, **specs))
    chex.assert_trees_all_close(on_host(split(stacked, TRIE)), expected, rtol=1e-6)


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_scores_are_float32_whatever_the_logits(normalize):
    """Half-precision logits lose their own rounding and nothing more."""
    rounded = [x.astype(jnp.bfloat16) for x in TABLES]
    half = on_host(search(rounded, TRIE, width=7, k=9, normalize=normalize))
    wide = [x.astype(jnp.float32) for x in rounded]
    assert half[0].scores.dtype == np.float32
    again = on_host(search(wide, TRIE, width=7, k=9, normalize=normalize))
    chex.assert_trees_all_close(half, again, rtol=1e-6)


def test_tokens_that_cannot_be_leave_dead_beams_and_no_nan():
    t = [TABLES[0], TABLES[1].at[:, 1].set(-jnp.inf), TABLES[2]]
    beams, _ = on_host(search(t, TRIE, width=50, k=50))
    live = beams.scores > -np.inf
    assert not np.isnan(beams.scores).any()
    assert_array_equal(live.sum(1), [(leaf_codes(TRIE)[:, 1] != 1).sum()] * BATCH)
    assert (beams.tokens[live][:, 1] != 1).all()
    nothing = [*t[:2], jnp.full_like(t[2], -jnp.inf)]
    for normalize in NORMALIZE:
        beams, (items, _) = on_host(search(nothing, TRIE, width=50, k=50, normalize=normalize))
        assert (beams.scores == -np.inf).all() and (items == -1).all()
        assert (beams.tokens == -1).all()


def test_a_model_in_half_precision_finds_nearly_the_same(getkey):
    """Of the ten best, the same but for those that the model's own rounding brings together."""
    shapes = {"query": (200, 1, 16), "token": (3, 5, 16), "out": (3, 5, 16), "hidden": (16, 16)}
    weights = {name: jax.random.normal(getkey(), shape) for name, shape in shapes.items()}

    @jax.jit
    def run(w, trie):
        def step(state, tokens, level):
            if tokens is not None:
                state = jnp.tanh((state + w["token"][level - 1][tokens]) @ w["hidden"] / 4)
            return state @ w["out"][level].T, state

        return beam_search(step, w["query"], trie, batch=200, width=20)

    whole = on_host(run(weights, TRIE))
    half = on_host(run(jax.tree.map(lambda x: x.astype(jnp.bfloat16), weights), TRIE))
    assert half.scores.dtype == np.float32
    assert_allclose(half.scores[:, 0], whole.scores[:, 0], atol=0.2)
    shared = [
        len(np.intersect1d(a, b)) / 10
        for a, b in zip(whole.leaves[:, :10], half.leaves[:, :10], strict=True)
    ]
    assert np.mean(shared) > 0.98


def test_a_cache_follows_its_beam_and_what_is_closed_over_stays(getkey):
    """Keys and values of a query closed over; a cache of own tokens that every step extends."""
    k_keys, k_tokens = jax.random.split(getkey())
    keys = jax.random.normal(k_keys, (BATCH, 6, 8))
    embedded = jax.random.normal(k_tokens, (3, 5, 8))

    def step(cache, tokens, level):
        if tokens is not None:
            cache = cache.at[:, :, level - 1].set(embedded[level - 1][tokens])
        seen = jax.nn.softmax(jnp.einsum("bwd,bsd->bws", 1 + cache.sum(2), keys))
        return jnp.einsum("bws,bsd,td->bwt", seen, keys, embedded[level]), cache

    @jax.jit
    def run(trie, codes):
        empty = jnp.zeros((BATCH, 1, 3, 8))
        beams = beam_search(step, empty, trie, batch=BATCH, width=7)
        items, scores = beam_items(beams, trie, k=9)
        return scores, score_codes(step, empty, codes[items])

    scores, again = run(TRIE, jnp.asarray(CODES))
    assert_allclose(again, scores, rtol=1e-5)


# ---- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width .* is 0"),
        ({"normalize": "all"}, "must be one of .*'full', 'valid'.*'all'"),
        ({"carry": {"kv": jnp.zeros((2, 1))}}, r"carry\['kv'\] has shape \(2, 1\).*\(3, 1\)"),
        ({"carry": (jnp.zeros((3, 5)),)}, r"carry\[0\] has shape \(3, 5\)"),
        ({"step": lambda c, t, n: (jnp.zeros((3, 1, 3)), c)}, r"level 0 .*\(3, 1, 3\).*4 or more"),
        ({"step": lambda c, t, n: (jnp.zeros((3, 4)), c)}, r"level 0 have shape \(3, 4\)"),
    ],
)
def test_bad_arguments_are_one_clear_error(change, message):
    def run(step=lambda c, t, n: (jnp.zeros((3, 1, 4)), c), carry=(), width=2, **more):
        trie = build_trie(np.array([[0, 1], [3, 0]]))
        return beam_search(step, carry, trie, batch=3, width=width, **more)

    with pytest.raises(ValueError, match=message):
        run(**change)


def test_scoring_refuses_what_it_cannot_mean():
    codes = jnp.zeros((BATCH, 2, 3), jnp.int32)
    with pytest.raises(ValueError, match="needs the trie"):
        score_codes(model(TABLES), first_state(), codes, normalize="valid")
    with pytest.raises(ValueError, match="codes of 3 levels, the trie has 2"):
        score_codes(model(TABLES), first_state(), codes, trie=build_trie(np.zeros((1, 2), int)))
