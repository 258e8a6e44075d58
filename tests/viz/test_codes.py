"""The picture of codes shows their counts."""

import numpy as np
import pytest

from mmjax.viz import codes, style

CODES = np.array([[0, 1], [0, 0], [2, 1], [0, 1], [2, 0], [1, 1], [1, 1], [2, 1], [0, 1], [0, 1]])


def test_usage_counts_and_weighs():
    first, second = codes.code_usage(CODES, (4, 2))
    np.testing.assert_array_equal(first.items, [5, 3, 2, 0])
    assert first.perplexity == pytest.approx(2.8001, abs=1e-4)
    np.testing.assert_array_equal(second.items, [8, 2])


def test_the_picture_has_a_line_a_level():
    _, (ax,) = style.canvas()
    codes.draw_code_usage(CODES, (4, 2), ax=ax)
    first, second = ax.get_lines()[:2]
    np.testing.assert_allclose(first.get_ydata(), np.array([5, 3, 2, 0]) / 2.5)
    np.testing.assert_allclose(second.get_xdata(), [0.25, 0.75])
    assert "3 of 4, perplexity 3" in ax.get_legend().get_texts()[0].get_text()


def test_codes_outside_the_sizes_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        codes.draw_code_usage(CODES, (2, 2))
