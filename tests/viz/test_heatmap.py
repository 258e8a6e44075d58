"""Heat maps over settings."""

import math

import numpy as np
import pytest

from mmjax.viz import heatmap, style

RECORDS = [
    {"id": 4, "text": 2, "audio": 1, "recall@20": 0.30, "seed": 0},
    {"id": 4, "text": 2, "audio": 1, "recall@20": 0.34, "seed": 1},
    {"id": 4, "text": -1, "audio": 0, "recall@20": 0.25},
    {"id": 2, "text": 0, "audio": 1, "recall@20": 0.31},
]


def grid():
    return heatmap.metric_grid(RECORDS, row="text", column="audio", metric="recall@20", panel="id")


def hop_name(hops):
    return "off" if hops < 0 else str(hops)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def frames(ax, gid):
    return [tuple(np.floor(p.get_xy()).astype(int)) for p in ax.patches if p.get_gid() == gid]


def test_grid_by_hand():
    made = grid()
    assert (made.panels, made.rows, made.columns) == ((2, 4), (-1, 0, 2), (0, 1))
    nan = math.nan
    expected = [[[nan, nan], [nan, 0.31], [nan, nan]], [[0.25, nan], [nan, nan], [nan, 0.32]]]
    np.testing.assert_allclose(made.mean, expected)
    assert made.std[1, 2, 1] == pytest.approx(math.sqrt(2) * 0.02)
    assert made.std[1, 0, 0] == 0 and math.isnan(made.std[0, 0, 0])
    assert made.runs[1].tolist() == [[1, 0], [0, 0], [0, 2]]


def test_grid_without_panels_averages_over_the_rest():
    made = heatmap.metric_grid(RECORDS, row="text", column="audio", metric="recall@20")
    assert made.panels == (None,) and made.mean.shape == (1, 3, 2)


def test_grid_names_what_a_record_lacks():
    with pytest.raises(ValueError, match="record 0 lacks visual"):
        heatmap.metric_grid(RECORDS, row="text", column="visual", metric="recall@20")
    with pytest.raises(ValueError, match="no records"):
        heatmap.metric_grid([], row="text", column="visual", metric="recall@20")


def test_best_cell_and_its_equals():
    values = np.array([[0.1, 0.3], [math.nan, 0.29]])
    best, near = heatmap.best_cells(values, noise=0.015)
    assert best == (0, 1) and near.tolist() == [[False, True], [False, True]]
    best, near = heatmap.best_cells(values, higher_is_better=False)
    assert best == (0, 0) and near.tolist() == [[True, False], [False, False]]
    best, near = heatmap.best_cells(np.full((2, 2), math.nan))
    assert best is None and not near.any()


def test_heat_map_shows_the_numbers_and_frames_the_best():
    _, (ax,) = style.canvas()
    values = np.array([[0.3529, 0.3516, math.nan], [0.3, 0.352, 0.31]])
    made = heatmap.heat_map(values, (-1, 2), (0, 1, 3), setting_name=hop_name, noise=0.001, ax=ax)
    assert made is ax
    assert texts(ax) == [".3529", ".3516", style.MISSING, ".3000", ".3520", ".3100"]
    np.testing.assert_array_equal(ax.collections[0].get_array().filled(-1).ravel()[2], -1)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["off", "2"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "3"]
    assert set(frames(ax, "best")) == {(0, 0)}
    assert frames(ax, "near") == [(1, 1)]
    assert ax.collections[0].get_clim() == (0.3, 0.3529)


def test_heat_map_draws_rows_upwards():
    _, (ax,) = style.canvas()
    heatmap.heat_map(np.array([[0.1], [0.2]]), (0, 1), (0,), ax=ax)
    low, high = (text.get_position()[1] for text in ax.texts)
    assert low < high and not ax.yaxis_inverted()


def test_number_colour_has_contrast():
    _, (ax,) = style.canvas()
    heatmap.heat_map(np.array([[0.0, 1.0]]), (0,), (0, 1), ax=ax)
    dark, light = (text.get_color() for text in ax.texts)
    assert dark == "#fdfdfd" and light == "#0b0d12"


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_heat_map_of_one_value_or_none(value):
    _, (ax,) = style.canvas()
    heatmap.heat_map(np.array([[value]]), (1,), (1,), ax=ax)
    ax.figure.canvas.draw()
    assert len(frames(ax, "best")) == (0 if math.isnan(value) else 2)


def test_heat_map_refuses_other_shapes():
    with pytest.raises(
        ValueError, match=r"shape \(1, 2\), but there are 2 row and 1 column settings"
    ):
        heatmap.heat_map(np.zeros((1, 2)), (0, 1), (0,))


def test_panels_share_colours_and_have_one_best():
    made = grid()
    _, axes = style.canvas(1, 2)
    two, four = heatmap.heat_map_panels(made, panel_label="id hops", noise=0.02, axes=axes)
    assert (two.get_title(loc="left"), four.get_title(loc="left")) == ("id hops: 2", "id hops: 4")
    assert two.collections[0].get_clim() == four.collections[0].get_clim() == (0.25, 0.32)
    assert frames(two, "best") == [] and set(frames(four, "best")) == {(1, 2)}
    assert frames(two, "near") == [(1, 1)] and frames(four, "near") == []


def test_rows_for_the_csv():
    rows = heatmap.grid_rows(grid(), row="text", column="audio", metric="recall@20", panel="id")
    assert len(rows) == 3
    assert rows[0] == {"id": 2, "text": 0, "audio": 1, "recall@20": 0.31, "std": 0.0, "runs": 1}
