"""Learning curves: what is read, averaged and drawn."""

import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mmjax.viz import curves, style

HISTORY = [
    {"epoch": 1, "loss": 3.0, "recall@20": 0.1},
    {"epoch": 2, "loss": 2.0},
    {"epoch": 3, "loss": 1.5, "recall@20": 0.3},
    {"epoch": 4, "loss": 1.7, "recall@20": 0.2},
]


def jsonl(path, rows, end="\n"):
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    return path


@pytest.fixture
def ax():
    return style.canvas()[1][0]


def test_file_and_list_give_the_same_series(tmp_path):
    path = jsonl(tmp_path / "metrics.jsonl", HISTORY)
    for history in (path, str(path), HISTORY):
        x, y = curves.series(history, "recall@20")
        np.testing.assert_array_equal(x, [1, 3, 4])
        np.testing.assert_array_equal(y, [0.1, 0.3, 0.2])


def test_repeated_epochs_of_a_resumed_run_count_once():
    rows = [{"epoch": e, "loss": v} for e, v in [(1, 9.0), (3, 7.0), (2, 8.0), (3, 6.0)]]
    x, y = curves.series(rows, "loss")
    np.testing.assert_array_equal(x, [1, 2, 3])
    np.testing.assert_array_equal(y, [9, 8, 6])


def test_half_written_last_line_is_left_out(tmp_path):
    path = jsonl(tmp_path / "metrics.jsonl", HISTORY, end='\n{"epoch": 5, "lo')
    assert curves.read_metrics(path) == HISTORY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epoch": 1}\n{"epo\n{"epoch": 3}\n', "line 2: not JSON"),
        ('{"epoch": 1}\n{"epo\n', "line 2: not JSON"),
        ("[1, 2]\n", "line 1: expected an object"),
        ("\n\n", "holds no complete line"),
    ],
)
def test_broken_files_are_named_with_their_line(tmp_path, text, message):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        curves.read_metrics(path)
    assert str(path) in str(error.value)


def test_unknown_metric_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no 'ndcg@20' .*epoch, loss, recall@20"):
        curves.series(HISTORY, "ndcg@20")
    with pytest.raises(ValueError, match="no 'ndcg@20'"):
        curves.curves(HISTORY, "ndcg@20")
    with pytest.raises(ValueError, match="no runs"):
        curves.mean_band([], "loss")


def test_curve_shows_the_values_and_marks_the_best(ax):
    assert curves.curves(HISTORY, "recall@20", ax=ax) is ax
    line, best = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.1], [3, 0.3], [4, 0.2]])
    np.testing.assert_array_equal(best.get_xydata(), [[3, 0.3]])
    assert [text.get_text() for text in ax.texts] == [".3000"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Recall@20")


def test_best_loss_is_the_lowest(ax):
    curves.curves(HISTORY, "loss", ax=ax)
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[3, 1.5]])
    assert ax.texts[0].get_text() == "1.5"


def test_several_metrics_are_labelled_at_their_ends(ax):
    curves.curves(HISTORY, ["recall@20", "loss"], best=False, ax=ax)
    assert [text.get_text() for text in ax.texts] == ["Recall@20", "Loss"]
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len({line.get_linestyle() for line in ax.lines}) == 2


def test_values_that_are_not_finite_leave_a_gap(ax):
    rows = [{"epoch": e, "loss": v} for e, v in enumerate([3.0, math.nan, 1.0, math.inf])]
    curves.curves(rows, "loss", ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, math.nan, 1, math.inf])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[2, 1]])


def test_seeds_in_one_history_are_lines_of_their_own(ax):
    rows = [{"epoch": e, "seed": s, "loss": e + s} for e in (1, 2) for s in (0, 1)]
    curves.curves(rows, "loss", ax=ax)
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 2], [2, 3]]


def test_panels_draw_each_metric_in_its_own_axes():
    _, axes = style.canvas(1, 2)
    loss, recall = curves.panels(HISTORY, ("loss", "recall@20"), axes=axes)
    assert (loss.get_ylabel(), recall.get_ylabel()) == ("Loss", "Recall@20")


def test_mean_band_by_hand():
    runs = [
        [{"epoch": 1, "m": 1.0}, {"epoch": 2, "m": 2.0}, {"epoch": 3, "m": 9.0}],
        [{"epoch": 1, "m": 3.0}, {"epoch": 2, "m": 6.0}],
    ]
    band = curves.mean_band(runs, "m")
    np.testing.assert_array_equal(band.x, [1, 2, 3])
    np.testing.assert_array_equal(band.mean, [2, 4, 9])
    np.testing.assert_allclose(band.std, [math.sqrt(2), math.sqrt(8), 0])
    np.testing.assert_array_equal(band.runs, [2, 2, 1])


def test_mean_band_keeps_a_lost_epoch_as_a_gap():
    band = curves.mean_band([[{"epoch": 1, "m": math.nan}, {"epoch": 2, "m": 1.0}]], "m")
    np.testing.assert_array_equal(band.mean, [math.nan, 1])


def test_compare_draws_means_bands_and_names(ax, tmp_path):
    seeds = [
        [{"epoch": e, "recall@20": 0.1 * e + 0.01 * s, "seed": s} for e in (1, 2, 3)]
        for s in (0, 2)
    ]
    flat = [row for rows in seeds for row in rows]
    files = [jsonl(tmp_path / f"{i}.jsonl", rows) for i, rows in enumerate(seeds)]
    curves.compare(
        {"lists": seeds, "one list": flat, "files": files, "file": files[0]}, "recall@20", ax=ax
    )
    for line in ax.lines[:3]:
        np.testing.assert_allclose(line.get_xydata(), [[1, 0.11], [2, 0.21], [3, 0.31]])
    assert [text.get_text() for text in ax.texts] == ["lists", "one list", "files", "file"]
    assert len(ax.collections) == 3, "a single run has no band"
    _, low = ax.collections[0].get_datalim(ax.transData).p0
    assert low == pytest.approx(0.11 - math.sqrt(2) * 0.01)


def test_compare_thins_the_line_where_seeds_have_stopped(ax):
    runs = {"a": [[{"epoch": e, "m": float(e)} for e in range(n)] for n in (3, 5)]}
    curves.compare(runs, "m", ax=ax)
    whole, rest = ax.lines
    assert (list(whole.get_xdata()), list(rest.get_xdata())) == ([0, 1, 2], [2, 3, 4])
    assert rest.get_linewidth() < whole.get_linewidth()


def test_rows_for_the_csv():
    rows = curves.curve_rows({"run": HISTORY}, ["recall@20"])
    assert rows[1] == {
        "run": "run",
        "metric": "recall@20",
        "epoch": 3,
        "mean": 0.3,
        "std": 0.0,
        "runs": 1,
    }


def test_without_axes_a_pyplot_figure_opens():
    made = curves.curves(HISTORY, "loss")
    assert made.figure in [plt.figure(n) for n in plt.get_fignums()]
    many = curves.panels(HISTORY, ("loss", "recall@20"))
    assert len(many) == 2 and many[0].figure is many[1].figure
    plt.close("all")
