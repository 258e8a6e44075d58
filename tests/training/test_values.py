"""Words and JSON as values of typed fields."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.training.config import FitConfig, OptimConfig
from mmjax.training.run_config import RunConfig, override
from mmjax.training.values import as_type, spelled, split_words


@pytest.mark.parametrize(
    ("value", "hint", "want"),
    [
        ("False", bool, False),
        ("yes", bool, True),
        (0, bool, False),
        ("3", int, 3),
        (3.0, int, 3),
        (1, float, 1.0),
        ("1e-3", float, 1e-3),
        (5, str, "5"),
        ("none", int | None, None),
        ("7", int | None, 7),
        ("[2, 1]", tuple[int, ...], (2, 1)),
        ("(text,image)", tuple[str, ...], ("text", "image")),
        ([[1, 2], [3]], tuple[tuple[int, ...], ...], ((1, 2), (3,))),
        ("a", tuple[str, ...], ("a",)),
        ([0.9, 0.99], tuple[float, float], (0.9, 0.99)),
        ("cosine", Literal["cosine", "linear"], "cosine"),
        ("x", Path, Path("x")),
    ],
)
def test_values_of_every_type(value, hint, want):
    found = as_type(value, hint, "field")
    assert found == want and type(found) is type(want)


@pytest.mark.parametrize(
    ("value", "hint", "says"),
    [
        ("maybe", bool, "True or False"),
        (2.5, int, "a whole number"),
        (True, int, "a whole number"),
        ("x", float, "a number"),
        ("x", Literal["a", "b"], "a or b"),
        ([1], tuple[int, int], r"\(a whole number, a whole number\)"),
        ("x", tuple[int, ...], "any number of a whole number"),
        ("x", int | None, "a whole number or None"),
    ],
)
def test_misfits_name_field_type_and_value(value, hint, says):
    with pytest.raises(ValueError, match=f"field = .*: give {says}"):
        as_type(value, hint, "field")
    assert spelled(hint)


def test_commas_in_brackets_separate_nothing():
    assert split_words("[2,1],(a,b),False,1e-3,word") == [[2, 1], ("a", "b"), False, 1e-3, "word"]


@given(st.lists(st.lists(st.integers(), max_size=3), min_size=1, max_size=4))
def test_lists_come_back(values):
    assert split_words(",".join(map(str, values))) == values


def test_a_field_that_is_not_there_has_a_neighbour():
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        override(FitConfig(), {"epoch": 3})
    assert override(FitConfig(), {"quiet": "False"}).quiet is False


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RunConfig(seeds=0), "--seeds 0: give 1 or more.*the seed itself is --seed"),
        (lambda: RunConfig(seed=-1), "--seed -1"),
        (lambda: OptimConfig(learning_rate=float("nan")), "learning_rate must be finite"),
        (lambda: FitConfig(save_seconds=float("inf")), "save_seconds must be finite"),
    ],
)
def test_what_means_nothing_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
