"""Full ranking equals sorting all scores; masks, edge cases, batching and metrics."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.tree_util import Partial

from mmjax.blocks.ranking.full_ranking import top_items
from mmjax.blocks.ranking.metrics import METRICS
from mmjax.evaluation import ranking
from mmjax.retriever import Vectors, given_vectors


def rank(task, u, i, *, k):
    return ranking.rank(given_vectors(len(i)), Vectors(u, i), task, k=k).ids


def evaluate(task, u, i, score=None, **options):
    retriever = given_vectors(len(i), score=score)
    return ranking.evaluate(retriever, Vectors(u, i), task, **options)


def integer_vectors(rng, n, d=3, low=-2, high=3):
    """Inner products of these are exact in any order of summation, and tie often."""
    return rng.integers(low, high, (n, d)).astype(np.float32)


def random_pairs(rng, n_users, n_items, count):
    return np.stack([rng.integers(0, n_users, count), rng.integers(0, n_items, count)], 1)


def by_sorting(user_vectors, item_vectors, seen, users, k):
    scores = user_vectors.astype(np.float64) @ item_vectors.astype(np.float64).T
    scores[seen[:, 0], seen[:, 1]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")
    order = np.where(np.take_along_axis(scores, order, 1) > -np.inf, order, -1)
    order = np.pad(order, ((0, 0), (0, max(0, k - order.shape[1]))), constant_values=-1)
    return order[users, :k]


def distinct_items(rng, n_users, n_items, each):
    """Pairs of every user with `each` items: as many in every example, so that it compiles once."""
    items = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :each]
    return np.stack([np.repeat(np.arange(n_users), each), items.ravel()], 1)


@given(
    seed=st.integers(0, 2**32 - 1),
    case=st.sampled_from([(1, 1, 1, 1), (7, 30, 40, 3), (9, 700, 5, 4), (23, 90, 10, 23)]),
    density=st.sampled_from([0.0, 0.1, 0.99, 1.0]),
)
def test_rank_equals_sorting_everything(seed, case, density):
    n_users, n_items, k, batch_size = case
    rng = np.random.default_rng(seed)
    seen = distinct_items(rng, n_users, n_items, round(density * n_items))
    held_out = distinct_items(rng, n_users, n_items, 1)
    u, i = integer_vectors(rng, n_users), integer_vectors(rng, n_items)
    task = ranking.ranking_task(held_out, seen, n_users, n_items, batch_size=batch_size)
    ids = rank(task, jnp.asarray(u), jnp.asarray(i), k=k)
    assert ids.dtype == jnp.int32
    np.testing.assert_array_equal(ids, by_sorting(u, i, seen, np.arange(n_users), k))


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    n_users, n_items = 40, 600
    seen = random_pairs(rng, n_users, n_items, 900)
    seen = np.concatenate([seen, np.stack([np.zeros(500), np.arange(500)], 1).astype(int)])
    held_out = random_pairs(rng, n_users // 2, n_items, 300)
    return (
        n_users,
        n_items,
        seen,
        held_out,
        integer_vectors(rng, n_users),
        integer_vectors(rng, n_items),
    )


def as_jax(*arrays):
    return tuple(jnp.asarray(x) for x in arrays)


def test_the_batch_size_does_not_matter(case):
    n_users, n_items, seen, held_out, u, i = case
    results = [
        rank(
            ranking.ranking_task(held_out, seen, n_users, n_items, **options),
            *as_jax(u, i),
            k=20,
        )
        for options in ({}, {"batch_size": 1}, {"batch_size": 7}, {"memory": 10 * 4 * n_items})
    ]
    expected = by_sorting(u, i, seen, np.unique(held_out[:, 0]), 20)
    for ids in results:
        np.testing.assert_array_equal(ids, expected)


def test_seen_pairs_are_spread_over_the_steps(case):
    n_users, n_items, seen, held_out, *_ = case
    task = ranking.ranking_task(held_out, seen, n_users, n_items, batch_size=5)
    pairs = len(np.unique(seen[np.isin(seen[:, 0], held_out[:, 0])], axis=0))
    heaviest = np.unique(seen, axis=0)[:, 0]
    assert task.seen.shape[1] <= pairs / task.seen.shape[0] + np.bincount(heaviest).max()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_vectors_are_scored_in_float32(case, dtype):
    n_users, n_items, seen, held_out, u, i = case
    # Products up to 3 * 100 * 100 + 1: a bfloat16 score would lose the last digits.
    u, i = 30 * u + 1, 25 * i + 1
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    narrow = rank(task, jnp.asarray(u, dtype), jnp.asarray(i, dtype), k=30)
    np.testing.assert_array_equal(narrow, by_sorting(u, i, seen, np.asarray(task.users), 30))


def test_works_per_seed_under_vmap(case):
    n_users, n_items, seen, held_out, u, i = case
    task = ranking.ranking_task(held_out, seen, n_users, n_items, batch_size=8)
    us, its = jnp.stack([u, u[::-1], 2 * u]), jnp.stack([i, i, i[::-1]])
    batched = jax.vmap(lambda u, i: evaluate(task, u, i, ks=(5,)))(us, its)
    for s in range(3):
        one = evaluate(task, us[s], its[s], ks=(5,))
        for name, value in one.items():
            if name == "relevant":
                continue
            np.testing.assert_array_equal(batched[name][s], value, err_msg=name)


def test_nothing_of_users_times_items_exists():
    n_users, n_items = 4096, 4096
    rng = np.random.default_rng(0)
    pairs = random_pairs(rng, n_users, n_items, 3 * n_users)
    task = ranking.ranking_task(pairs, pairs[:0], n_users, n_items, memory=2**20)
    shape = jax.ShapeDtypeStruct((4096, 8), jnp.float32)
    lowered = ranking.rank.lower(given_vectors(4096), Vectors(shape, shape), task, k=10)
    compiled = lowered.compile()
    full = 4 * n_users * n_items
    assert compiled.memory_analysis().temp_size_in_bytes < full / 8


def test_top_items_of_a_few_users():
    items = jnp.array([[1.0], [3.0], [2.0], [3.0]])
    users = jnp.array([[1.0], [-1.0]])
    ids, scores = top_items(users, items, k=3)
    np.testing.assert_array_equal(ids, [[1, 3, 2], [0, 2, 1]])
    np.testing.assert_array_equal(scores, [[3, 3, 2], [-1, -2, -3]])
    seen = jnp.array([[0, 1], [0, 0], [1, 0], [1, 1], [1, 2], [2, 3]])
    ids, scores = top_items(users, items, seen, k=6)
    np.testing.assert_array_equal(ids, [[3, 2, -1, -1, -1, -1], [3, -1, -1, -1, -1, -1]])
    inf = np.inf
    np.testing.assert_array_equal(scores[0], [3, 2, -inf, -inf, -inf, -inf])


def test_masks_of_the_two_protocols():
    """One user, items 0 train, 1 valid, 2 test, 3 free, liked in this order."""
    u, i = as_jax(np.ones((1, 1), np.float32), np.array([[4.0], [3.0], [2.0], [1.0]], np.float32))
    train, valid, test = (np.array([[0, item]]) for item in (0, 1, 2))
    mmrec = ranking.ranking_task(test, train, 1, 4)
    mig_gt = ranking.ranking_task(test, np.concatenate([train, valid]), 1, 4)
    np.testing.assert_array_equal(rank(mmrec, u, i, k=4), [[1, 2, 3, -1]])
    np.testing.assert_array_equal(rank(mig_gt, u, i, k=4), [[2, 3, -1, -1]])
    assert evaluate(mmrec, u, i, ks=(1,))["recall@1"] == 0.0
    assert evaluate(mig_gt, u, i, ks=(1,))["recall@1"] == 1.0


def test_evaluate_equals_metrics_of_the_sorted_lists(case):
    n_users, n_items, seen, held_out, u, i = case
    ks = (1, 5, 20, 1000)
    task = ranking.ranking_task(held_out, seen, n_users, n_items, batch_size=6)
    per_user = evaluate(task, *as_jax(u, i), ks=ks)
    ids = by_sorting(u, i, seen, np.arange(n_users), max(ks))
    users = np.unique(held_out[:, 0])
    wanted = [set(held_out[held_out[:, 0] == user, 1].tolist()) for user in users]
    hits = np.array([[item in w for item in ids[v]] for v, w in zip(users, wanted, strict=True)])
    relevant = np.array([len(w) for w in wanted])
    np.testing.assert_array_equal(per_user["relevant"], relevant)
    summary = ranking.summarise(per_user)
    for k in ks:
        found = hits[:, :k].sum(1)
        np.testing.assert_array_equal(per_user[f"hits@{k}"], found)
        assert summary[f"pooled_hr@{k}"] == pytest.approx(found.sum() / relevant.sum())
        for name, metric in METRICS.items():
            expected = metric(*as_jax(hits, relevant), k)
            np.testing.assert_allclose(per_user[f"{name}@{k}"], expected, rtol=1e-6)
            assert summary[f"{name}@{k}"] == pytest.approx(float(expected.mean()), rel=1e-5)
    assert set(summary) == {f"{name}@{k}" for k in ks for name in (*METRICS, "pooled_hr")}


def test_users_can_be_chosen(case):
    n_users, n_items, seen, held_out, u, i = case
    chosen = np.array([30, 2, 39, 5])
    task = ranking.ranking_task(held_out, seen, n_users, n_items, users=chosen)
    np.testing.assert_array_equal(task.users, [2, 5, 30, 39])
    expected = by_sorting(u, i, seen, np.sort(chosen), 5)
    np.testing.assert_array_equal(rank(task, *as_jax(u, i), k=5), expected)
    # Users 30 and 39 have nothing held out: zeros, and no part in the means.
    per_user = evaluate(task, *as_jax(u, i), ks=(300,))
    np.testing.assert_array_equal(per_user["recall@300"][2:], [0, 0])
    mean = float(per_user["recall@300"][:2].mean())
    assert ranking.summarise(per_user)["recall@300"] == pytest.approx(mean)


def test_repeated_pairs_count_once(case):
    n_users, n_items, seen, held_out, u, i = case
    once = ranking.ranking_task(held_out, seen, n_users, n_items)
    twice = ranking.ranking_task(
        np.concatenate([held_out, held_out]), np.concatenate([seen, seen]), n_users, n_items
    )
    a, b = (evaluate(t, *as_jax(u, i), ks=(20,)) for t in (once, twice))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_diverged_model_shows_nan_instead_of_numbers(case):
    n_users, n_items, seen, held_out, u, i = case
    u[3, 1] = np.nan
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    summary = ranking.summarise(evaluate(task, *as_jax(u, i), ks=(20,)))
    assert np.isnan(summary["recall@20"])


def test_compiles_once(case):
    n_users, n_items, seen, held_out, u, i = case
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    task = dataclasses.replace(task)
    rank(task, *as_jax(u, i), k=7)
    size = ranking.rank._cache_size()
    rank(task, *as_jax(2 * u, i), k=7)
    assert ranking.rank._cache_size() == size


@pytest.mark.parametrize(
    "options, message",
    [
        ({"held_out": [[2, 0]]}, r"held_out, row 0: user 2, item 0; users must lie in \[0, 2\)"),
        ({"seen": [[0, 0], [0, 3]]}, "seen, row 1: user 0, item 3"),
        ({"held_out": np.zeros((0, 2), int)}, "no user to rank"),
        ({"users": [0, 0]}, "must be distinct"),
        ({"users": [0, 2]}, r"outside \[0, 2\)"),
        ({"users": []}, "no user to rank"),
        ({"batch_size": 0}, "batch_size = 0"),
    ],
)
def test_bad_tasks_are_refused(options, message):
    given = {"held_out": [[0, 1]], "seen": [[0, 0]], **options}
    for name in given.keys() & {"held_out", "seen", "users"}:
        given[name] = np.asarray(given[name], int)
    with pytest.raises(ValueError, match=message):
        ranking.ranking_task(**given, n_users=2, n_items=3)


def test_bad_k_and_wrong_vectors_are_refused():
    task = ranking.ranking_task(np.array([[0, 1]]), np.array([[0, 0]]), 1, 3)
    u, i = jnp.ones((1, 2)), jnp.ones((3, 2))
    for ks in ((), (0, 5), (5, 5), (-1,)):
        with pytest.raises(ValueError, match="ks = "):
            evaluate(task, u, i, ks=ks)
    with pytest.raises(ValueError, match="k = 0; it must be 1 or more"):
        rank(task, u, i, k=0)
    with pytest.raises(ValueError, match="4 candidates, the task 3 items"):
        rank(task, u, jnp.ones((4, 2)), k=1)
    with pytest.raises(ValueError, match="2 user vectors for a task of 1 users"):
        evaluate(task, jnp.ones((2, 2)), i)
    empty = ranking.ranking_task(
        np.zeros((0, 2), int), np.array([[0, 0]]), 1, 3, users=np.array([0])
    )
    with pytest.raises(ValueError, match="no user has a held-out item"):
        ranking.summarise(evaluate(empty, u, i, ks=(2,)))


def _negative_distance(users, items):
    return -jnp.square(users[:, None] - items[None]).sum(-1)


def test_a_score_of_the_callers_replaces_the_inner_product(case):
    n_users, n_items, seen, held_out, u, i = case
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    # -|u - i|^2 ranks as the inner product of [2u, -1] and [i, |i|^2].
    longer_u = np.concatenate([2 * u, -np.ones((n_users, 1))], 1).astype(np.float32)
    longer_i = np.concatenate([i, np.square(i).sum(1, keepdims=True)], 1).astype(np.float32)
    expected = evaluate(task, jnp.asarray(longer_u), jnp.asarray(longer_i))
    score = Partial(_negative_distance)
    found = evaluate(task, jnp.asarray(u), jnp.asarray(i), score=score)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_ndcg_has_two_ideals(case):
    n_users, n_items, seen, held_out, u, i = case
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    usual = evaluate(task, *as_jax(u, i), ks=(300,))
    other = evaluate(task, *as_jax(u, i), ks=(300,), ndcg="list")
    assert (other["ndcg@300"] >= usual["ndcg@300"]).all()
    assert (other["ndcg@300"] > usual["ndcg@300"]).any()
    np.testing.assert_array_equal(other["recall@300"], usual["recall@300"])
    with pytest.raises(ValueError, match="'lists' is none of standard, list"):
        evaluate(task, *as_jax(u, i), ndcg="lists")


def test_rankings_made_elsewhere_are_judged_alike(case):
    n_users, n_items, seen, held_out, u, i = case
    task = ranking.ranking_task(held_out, seen, n_users, n_items)
    ids = rank(task, *as_jax(u, i), k=20)
    expected = evaluate(task, *as_jax(u, i), ks=(5, 20))
    found = ranking.ranking_metrics(task, ids, ks=(5, 20))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    with pytest.raises(ValueError, match="the rankings have 20 items"):
        ranking.ranking_metrics(task, ids, ks=(21,))


def test_misses_keep_their_ranks():
    """Three relevant items, hits at the first and the third rank; the second is no item."""
    held_out = np.array([[0, 1], [0, 2], [0, 5]])
    task = ranking.ranking_task(held_out, np.zeros((0, 2), int), 1, 6)
    found = ranking.ranking_metrics(task, jnp.array([[5, -1, 1, 0]]), ks=(4,))
    np.testing.assert_allclose(found["ndcg@4"], [0.70392], atol=1e-5)
    np.testing.assert_allclose(found["recall@4"], [2 / 3], rtol=1e-6)
