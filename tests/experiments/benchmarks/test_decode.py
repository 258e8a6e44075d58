"""The decoding benchmark on a tiny catalogue."""

import numpy as np
import pytest

from experiments.benchmarks.decode import ours as decode
from experiments.benchmarks.decode.problem import allowed_tokens, nested_trie

TINY = decode.Options(catalogues=("tiny",), queries=3, beams=4, length=3, rounds=1)


def test_a_trie_of_dictionaries():
    trie = nested_trie(np.array([[0, 1], [2, 2], [0, 0], [0, 1]]))
    assert trie == {0: {1: None, 0: None}, 2: {2: None}}
    assert sorted(allowed_tokens(trie, [])) == [0, 2] and sorted(allowed_tokens(trie, [0])) == [
        0,
        1,
    ]


def test_problems_repeat_and_may_be_skewed():
    flat, again = (decode.problem(decode.CATALOGUES["tiny"], TINY) for _ in range(2))
    for name, array in flat.items():
        np.testing.assert_array_equal(array, again[name])
    assert flat["codes"].shape == (300, 3) and flat["codes"].max() < 8
    skewed = decode.CATALOGUES["tiny"]._replace(items=5_000, skewed=True)
    most = np.bincount(decode.problem(skewed, TINY)["codes"][:, 0]).max()
    assert most > 1.5 * 5_000 / 8


def test_searches_that_differ_are_found_out():
    tokens, scores = np.zeros((2, 10, 3)), np.zeros((2, 10))
    decode.check_same((tokens, scores), (tokens, scores + 1e-6), "x")
    with pytest.raises(ValueError, match="x: 50.0% of its codes differ"):
        decode.check_same((tokens, scores), (tokens + [[[0]], [[1]]], scores), "x")
    with pytest.raises(ValueError, match="100.0% of its scores"):
        decode.check_same((tokens, scores), (tokens, scores + 1), "x")


def test_unknown_catalogues_are_refused():
    with pytest.raises(ValueError, match="catalogues are 100k, 256; .*, got 'huge'"):
        decode.main(decode.Options(catalogues=("huge",)))


@pytest.mark.parametrize("flags", [(), ("--cpu-time",)])
def test_writes_its_figures(run_tiny, flags):
    record, text = run_tiny(decode, *flags)
    assert record["clock"] == ("CPU time" if flags else "wall time")
    result = record["catalogues"]["tiny"]
    assert (result["items"], result["vocabulary"]) == (300, 8)
    names = {task: {row["name"] for row in result[task]["rows"]} for task in decode.TASKS}
    both = {"mmjax", decode.ALONE}
    assert names == {"whole": {*both, "mmjax, free"}, "step": both}
    for task in decode.TASKS:
        assert result[task]["baseline"] == decode.ALONE
        assert all(row["median_ms"] > 0 for row in result[task]["rows"])
    assert "300 items" in text


@pytest.mark.parametrize("dense", [False, True])
def test_both_kinds_of_step_allow_the_same(dense):
    arrays = decode.problem(decode.CATALOGUES["tiny"], TINY)
    runs = decode.programs(decode.build_trie(arrays["codes"], dense=dense), arrays, TINY)
    own, others = runs["step: mmjax"](), runs[f"step: {decode.ALONE}"]()
    for (left, token), other in zip(own, map(np.asarray, others), strict=True):
        full = np.asarray(left)
        if token is not None:
            full = np.full_like(other, -np.inf)
            for place in np.argwhere(np.asarray(left) > -np.inf).tolist():
                full[(*place[:2], token[tuple(place)])] = left[tuple(place)]
        np.testing.assert_array_equal(full, other)
