"""Colours, numbers and label placement."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.viz import style

# Machado, Oliveira & Fernandes 2009, severity 1, in linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colours):
    c = np.array([[int(h[i : i + 2], 16) for i in (1, 3, 5)] for h in colours]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    t = np.clip(rgb, 0, 1) @ XYZ.T / np.array([[0.9505, 1.0, 1.089]])
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [style.PALETTE, style.PALETTE_DARK])
def test_series_colours_differ_for_every_kind_of_vision(palette, vision):
    colours = lab(linear(palette) @ np.array(VISION[vision]).T)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 15


@pytest.mark.parametrize(
    ("palette", "page"), [(style.PALETTE, "#ffffff"), (style.PALETTE_DARK, "#15181e")]
)
def test_series_colours_stand_out_from_the_page(palette, page):
    luminance = linear([*palette, page]) @ XYZ[1]
    ours, theirs = luminance[:-1] + 0.05, luminance[-1] + 0.05
    assert (np.maximum(ours, theirs) / np.minimum(ours, theirs)).min() > 3.5


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0754, 4, ".0754"),
        (0.07536, 4, ".0754"),
        (-0.0123, 4, "-.0123"),
        (1.0, 4, "1.0000"),
        (0.99996, 4, "1.0000"),
        (10.25, 1, "10.2"),
        (0.0, 4, ".0000"),
        (-0.00001, 4, ".0000"),
        (0.3, 0, "0"),
        (float("nan"), 4, style.MISSING),
        (float("inf"), 4, style.MISSING),
        (None, 4, style.MISSING),
    ],
)
def test_numbers_as_papers_print_them(value, digits, text):
    assert style.number(value, digits) == text


@pytest.mark.parametrize(
    ("metric", "label", "rises"),
    [
        ("recall@20", "Recall@20", True),
        ("valid/ndcg@20", "NDCG@20 (valid)", True),
        ("pooled_hr@20", "Pooled HR@20", True),
        ("loss", "Loss", False),
        ("train/bpr_loss", "BPR loss (train)", False),
        ("epoch_seconds", "Epoch seconds", False),
    ],
)
def test_metric_names(metric, label, rises):
    assert style.metric_label(metric) == label
    assert style.higher_is_better(metric) == rises


@given(st.lists(st.floats(-1e3, 1e3), max_size=12), st.floats(0.1, 50))
def test_spread_keeps_order_and_distance(positions, gap):
    moved = style.spread(positions, gap)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [moved[i] for i in order]
    assert all(b - a >= gap * (1 - 1e-9) - 1e-9 for a, b in zip(placed, placed[1:], strict=False))
    assert sum(moved) == pytest.approx(sum(positions), abs=1e-6)


def test_spread_moves_only_what_collides():
    assert style.spread([0.0, 10.0, 10.0, 30.0], 4.0) == [0.0, 8.0, 12.0, 30.0]
    assert style.spread([], 1.0) == []


def test_dollars_are_not_formulas():
    _, (ax,) = style.canvas()
    text = ax.set_title(style.plain("A$AP, Ke$ha"))
    ax.figure.canvas.draw()
    assert text.get_text() == r"A\$AP, Ke\$ha"


def test_canvas_stays_out_of_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figure, axes = style.canvas(2, 3)
    assert plt.get_fignums() == before
    assert len(axes) == 6 and tuple(figure.get_size_inches()) == (15.0, 6.4)


def test_panels_refuse_too_few_axes():
    _, axes = style.canvas(1, 2)
    assert style.panels_or_new(axes, 1, (1, 1)) == axes[:1]
    with pytest.raises(ValueError, match="3 panels to draw but 2 axes"):
        style.panels_or_new(axes, 3, (1, 1))


@pytest.mark.process
def test_matplotlib_and_jax_wait_for_the_first_picture():
    code = (
        "import sys; from mmjax.viz import bars, curves, files, heatmap, neighbours, report, "
        "style, tables; heavy = ('matplotlib', 'jax', 'scipy.stats'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_end_labels_that_do_not_overlap_stay_at_their_lines():
    """Also where the limits are far from 0..1 and still to be computed."""
    _, (ax,) = style.canvas()
    ends = [0.36, 0.37, 0.38]
    for y in ends:
        ax.plot([0, 1], [0.4, y])
    style.end_labels(ax, [(1.0, y, "name", "black") for y in ends])
    assert [text.xyann[1] for text in ax.texts] == pytest.approx([0, 0, 0], abs=1e-6)
