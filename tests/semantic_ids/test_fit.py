"""Vectors to ids and back, without a training loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax import semantic_ids as sids
from mmjax.data.core.checks import DataError
from mmjax.semantic_ids.policies import APPENDING, POLICIES


@pytest.fixture(scope="module")
def groups():
    """96 vectors in 4 x 4 nested groups, far apart."""
    rng = np.random.default_rng(0)
    coarse, fine = rng.normal(size=(4, 8)) * 30, rng.normal(size=(4, 8)) * 3
    kind = np.stack(np.divmod(np.arange(96) % 16, 4), 1)
    return coarse[kind[:, 0]] + fine[kind[:, 1]] + rng.normal(size=(96, 8)) * 0.01, kind


@pytest.fixture(scope="module")
def table(groups):
    names = [f"item-{n}" for n in range(96)]
    return sids.fit_sids(groups[0], sizes=(4, 4), item_ids=names)


def test_ids_follow_the_groups_and_decode_to_the_vectors(groups, table):
    x, kind = groups
    assert table.sizes == (4, 4, 6)
    assert len({tuple(code) for code in table.codes}) == 96
    for level, column in ((1, kind[:, :1]), (2, kind)):
        seen = np.concatenate([table.codes[:, :level], column], axis=1)
        assert len(np.unique(seen, axis=0)) == 4**level
    np.testing.assert_allclose(sids.decode(table, table.codes), x, atol=0.1)
    np.testing.assert_array_equal(sids.encode(table, x), table.codes[:, :2])


def test_new_items_join_and_the_file_holds_all(groups, table, tmp_path):
    x = groups[0]
    grown = table.with_items(sids.encode(table, x[:3] + 0.01), ["a", "b", "c"])
    np.testing.assert_array_equal(grown.codes[:96], table.codes)
    np.testing.assert_array_equal(grown.codes[96:, :2], table.codes[:3, :2])
    assert len({tuple(code) for code in grown.codes}) == 99
    grown.save(tmp_path / "ids.npz")
    read = sids.SidTable.load(tmp_path / "ids.npz")
    np.testing.assert_array_equal(read.codes, grown.codes)
    np.testing.assert_array_equal(sids.encode(read, x), sids.encode(table, x))
    np.testing.assert_array_equal(
        sids.decode(read, read.codes[:5]), sids.decode(table, table.codes[:5])
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_keeps_the_first_level(policy, groups):
    x = groups[0]
    table = sids.fit_sids(x, sizes=(4, 8), policy=policy, popularity=np.arange(96)[::-1])
    plain = sids.fit_sids(x, sizes=(4, 8), policy="share")
    np.testing.assert_array_equal(table.codes[:, 0], plain.codes[:, 0])
    # A group that Sinkhorn spreads may land on codes of others.
    assert policy == "sinkhorn_reassign" or table.collision_rate <= plain.collision_rate
    assert (table.collision_rate == 0) == (policy in APPENDING)


def test_unit_vectors_forget_their_length(groups):
    x = groups[0]
    table = sids.fit_sids(x, sizes=(4,), normalise=True, seed=3)
    np.testing.assert_array_equal(sids.encode(table, 5 * x), table.codes[:, :1])
    assert (np.linalg.norm(sids.decode(table, table.codes), axis=1) < 1.01).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(1, 3))
def test_any_table_gets_distinct_ids(n, d):
    x = np.random.default_rng(n).integers(0, 2, (n, d)).astype(np.float64)
    table = sids.fit_sids(x)
    assert len({tuple(code) for code in table.codes}) == n


def test_quality_of_known_groups(groups, table):
    numbers = sids.quality(table, [f"{a}/{b}" for a, b in groups[1]])
    assert numbers["level_1/utilisation"] == numbers["level_2/utilisation"] == 1.0
    np.testing.assert_allclose(numbers["level_1/perplexity"], 4.0, rtol=1e-5)
    np.testing.assert_allclose(numbers["level_1/purity"], 0.25)
    np.testing.assert_allclose(numbers["level_2/purity"], 1.0)
    np.testing.assert_allclose(numbers["ids/collision_rate"], 80 / 96, rtol=1e-6)
    assert numbers["table/collision_rate"] == 0.0
    text = sids.report(table, groups[1][:, 0])
    assert "level 2: uses 100%, perplexity 4.0, category purity 1.00" in text
    assert "96 items, 4 x 4 x 6 codes" in text


def test_a_collapse_is_refused(groups, table):
    with pytest.raises(sids.SidCollapse, match="83% of the items repeat"):
        sids.check(table)
    sids.check(table, max_collisions=0.9)
    same = sids.assign(np.zeros((40, 2), int), (32, 32))
    with pytest.raises(sids.SidCollapse, match="level 1 uses 1 of 32 codes; level 2 uses 1 of 32"):
        sids.check(same)


def test_what_does_not_fit_is_refused(groups, table):
    x = groups[0]
    broken = x.copy()
    broken[7, 2] = np.nan
    with pytest.raises(DataError, match="row 7"):
        sids.fit_sids(broken)
    with pytest.raises(DataError, match="width 5"):
        sids.encode(table, x[:, :5])
    with pytest.raises(DataError, match="shape"):
        sids.fit_sids(x[:, :0])
    with pytest.raises(DataError, match="popularity"):
        sids.fit_sids(x, sizes=(2,), policy="append_popularity")
    with pytest.raises(DataError, match="choose one of"):
        sids.assign(table.codes[:, :2], (4, 4), policy="luck")
    with pytest.raises(DataError, match="last="):
        sids.assign(table.codes[:, :2], (4, 4), policy="next_nearest")
    with pytest.raises(DataError, match="no codebooks"):
        sids.decode(sids.assign(table.codes[:, :2], (4, 4)), table.codes)
    with pytest.raises(ValueError, match="clusters"):
        sids.fit_sids(x[:3], sizes=(4,))


@pytest.mark.parametrize("column", [1e3, -1e5])
def test_a_constant_column_changes_no_id(groups, table, column):
    x, kind = groups
    wide = np.concatenate([x, np.full((len(x), 1), column)], 1)
    found = sids.fit_sids(wide, sizes=(4, 4))
    for level, columns in ((1, kind[:, :1]), (2, kind)):
        seen = np.concatenate([found.codes[:, :level], columns], axis=1)
        assert len(np.unique(seen, axis=0)) == 4**level


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 4, 8]], "row 0: .* has 4 at level 2, outside 0..3"),  # offsets a level
        ([[0, 0, 0], [-1, -1, -1]], "row 1: .* has -1 at level 1"),  # a beam that ended
        ([[0]], r"shape \[1, 1\]"),
    ],
)
def test_codes_that_no_level_has_are_refused(table, codes, message):
    with pytest.raises(DataError, match=message):
        sids.decode(table, np.array(codes))


def test_the_advice_on_collapsed_ids_helps():
    """120 items in 60 pairs under two levels of few codes repeat; more codes, as told, do not."""
    x = np.random.default_rng(0).normal(size=(120, 8))
    few = sids.fit_sids(x, sizes=(4, 4), policy="share")
    with pytest.raises(sids.SidCollapse, match="more codes or add a level") as error:
        sids.check(few)
    assert "fewer" not in str(error.value)
    sids.check(sids.fit_sids(x, sizes=(32, 32), policy="share"))
