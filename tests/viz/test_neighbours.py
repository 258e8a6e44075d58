"""Nearest items by name."""

import numpy as np
import pytest

from mmjax.viz.neighbours import find_title, nearest, neighbour_table

X = np.array([[1.0, 0.0], [3.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
TITLES = ["Radiohead", "Muse", "Sigur R\u00f3s", "Kylie", "Silence"]


def test_cosine_by_hand():
    (near,) = nearest(X, ["Radiohead"], TITLES, k=3)
    assert [item.title for item in near] == ["Muse", "Sigur R\u00f3s", "Kylie"]
    np.testing.assert_allclose([item.score for item in near], [1, 0.5**0.5, 0])
    assert near[0].index == 1


def test_inner_product_prefers_long_vectors():
    (near,) = nearest(X, [2], metric="dot", k=2)
    assert near == [(1, "1", 3.0), (3, "3", 2.0)]


def test_a_zero_row_is_near_to_nothing():
    (near,) = nearest(X, [4], TITLES)
    assert len(near) == 4 and {item.score for item in near} == {0.0}


def test_indices_may_come_as_an_array():
    assert nearest(X, np.array([0, 2]), np.array(TITLES))[0][0].title == "Muse"


def test_names_are_found_in_any_case():
    assert find_title(TITLES, " sigur r\u00d3s ") == 2
    assert find_title(["a", "A"], "A") == 0


def test_unknown_names_get_a_hint():
    with pytest.raises(KeyError, match="no item is called 'Radiohed'; close: 'Radiohead'"):
        nearest(X, ["Radiohed"], TITLES)
    with pytest.raises(KeyError, match="close: 'Sigur R\u00f3s'"):
        find_title(TITLES, "sigur")
    with pytest.raises(KeyError, match="close: none"):
        find_title(TITLES, "")


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="1 titles for 5 rows"):
        nearest(X, [0], ["a"])
    with pytest.raises(IndexError, match="item 5 is not among the 5 items"):
        nearest(X, [5], TITLES)
    broken = X.copy()
    broken[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 1 \(Muse\) is not finite"):
        nearest(broken, [0], TITLES)


def test_table():
    near = nearest(X, ["Radiohead"], TITLES, k=2)
    assert neighbour_table(["Radiohead"], near) == (
        "Radiohead\n  Muse        1.000\n  Sigur R\u00f3s   0.707\n"
    )
