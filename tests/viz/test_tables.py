"""Leaderboards: tests of significance by hand, who is marked, the three renderings."""

import math
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.viz import bars, style
from mmjax.viz.significance import paired_t, welch_t
from mmjax.viz.tables import (
    Row,
    leaderboard,
    table_rows,
    to_html,
    to_markdown,
    to_text,
)

ROWS = [
    Row("MIG-GT", {"recall@20": [0.35, 0.36, 0.37]}, (0, 1, 2), {"recall@20": 0.3529}),
    Row("LightGCN", {"recall@20": [0.41, 0.42, 0.43]}, (0, 1, 2)),
    Row("Popularity", {"recall@20": [0.122]}, (0,), note="no training"),
    Row("FREEDOM", paper={"recall@20": 0.4}),
]


def best(rows, metric="recall@20", **settings):
    lines = leaderboard(rows, **settings).lines
    return [line.name for line in lines if metric in line.cells and line.cells[metric].best]


def test_paired_t_by_hand():
    # Differences 1, 2, 3: t = 2 / (1 / sqrt 3); with two degrees p = 1 - t / sqrt(t^2 + 2).
    test = paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    t = 2 * math.sqrt(3)
    assert test.difference == pytest.approx(2)
    assert test.p == pytest.approx(1 - t / math.sqrt(t * t + 2))


def test_welch_t_by_hand():
    # Equal variances and sizes: four degrees; p = 1 - x (3 - x^2) / 2 with x = t / sqrt(t^2 + 4).
    test = welch_t([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    t = 3 / math.sqrt(2 / 3)
    x = t / math.sqrt(t * t + 4)
    assert test.difference == pytest.approx(-3)
    assert test.p == pytest.approx(1 - x * (3 - x * x) / 2)


def test_constant_differences_are_certain_and_silent():
    assert paired_t([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == (0.0, 1.0)
    assert paired_t([0.2, 0.3, 0.4], [0.1, 0.2, 0.3]).p == 0.0
    assert welch_t([0.2, 0.2], [0.1, 0.1]).p == 0.0
    assert welch_t([0.1, 0.1], [0.1, 0.1, 0.1]).p == 1.0


@given(st.lists(st.tuples(*[st.floats(0, 1, width=16)] * 2), min_size=2, max_size=8))
def test_paired_t_is_symmetric(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    there, back = paired_t(a, b), paired_t(b, a)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p == pytest.approx(back.p) and 0 <= there.p <= 1


@pytest.mark.parametrize("test", [paired_t, welch_t])
def test_tests_need_two_values(test):
    with pytest.raises(ValueError, match=r"shapes \(1,\), \(1,\)"):
        test([1.0], [2.0])


def test_cells_hold_mean_and_sample_deviation():
    cell = leaderboard(ROWS).lines[0].cells["recall@20"]
    assert (cell.mean, cell.std, cell.runs) == (pytest.approx(0.36), pytest.approx(0.01), 3)
    single = leaderboard(ROWS).lines[2].cells["recall@20"]
    assert math.isnan(single.std) and single.runs == 1


def test_a_clear_lead_wins():
    assert best(ROWS) == ["LightGCN"]


def test_nobody_wins_inside_the_noise():
    close = Row("close", {"recall@20": [0.40, 0.43, 0.42]}, (0, 1, 2))
    assert best([*ROWS, close]) == []
    assert "No row is ahead of all others" in to_text(leaderboard([*ROWS, close]))


def test_pairs_see_what_spread_hides():
    # Seeds move both methods alike: only the paired test finds the constant lead.
    a, b = [0.30, 0.40, 0.50], [0.31, 0.41, 0.515]
    same = [Row("a", {"m": a}, (0, 1, 2)), Row("b", {"m": b}, (0, 1, 2))]
    other = [Row("a", {"m": a}, (0, 1, 2)), Row("b", {"m": b}, (3, 4, 5))]
    assert best(same, "m") == ["b"] and best(other, "m") == []


@pytest.mark.parametrize(("lead", "winner"), [(1.015, []), (1.03, ["b"])])
def test_single_runs_need_two_percent(lead, winner):
    assert best([Row("a", {"m": [0.3]}), Row("b", {"m": [0.3 * lead]})], "m") == winner


def test_one_row_beats_nobody():
    assert best([Row("a", {"m": [0.3]}), Row("b", paper={"m": 0.1})], "m") == []
    assert best([Row("a", {"m": [0.3]}), Row("b", {"m": [0.3]})], "m") == []


def test_lower_losses_win():
    rows = [Row("a", {"loss": [1.0]}), Row("b", {"loss": [2.0]})]
    assert best(rows, "loss") == ["a"]
    rows = [Row("a", {"loss": [1.0, 1.1]}), Row("b", {"loss": [2.0, 2.1]})]
    versus = leaderboard(rows, reference="b").lines[0].cells["loss"].versus
    assert versus.difference == pytest.approx(1.0), "positive means better"


def test_reference_is_tested_against():
    lines = leaderboard(ROWS, reference="MIG-GT").lines
    assert lines[0].cells["recall@20"].versus is None
    assert lines[1].cells["recall@20"].versus == (pytest.approx(0.06), 0.0)
    assert lines[2].cells["recall@20"].versus is None, "one seed cannot be tested"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([Row("a"), Row("a")], "twice there: a"),
        ([Row("a", {"m": [0.1, math.nan]})], "a: m has a value that is not finite"),
        ([Row("a", {"m": [0.1]}, (0, 1))], "1 values of m for"),
    ],
)
def test_bad_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        leaderboard(rows)


def test_unknown_reference_is_refused():
    with pytest.raises(ValueError, match="reference 'x' is none of the rows"):
        leaderboard(ROWS, reference="x")


def test_text():
    assert to_text(leaderboard(ROWS, reference="MIG-GT")) == (
        "method              Recall@20  paper  seeds  note\n"
        "----------  -----------------  -----  -----  -----------\n"
        "MIG-GT      .3600 \u00b1 .0100      .3529      3\n"
        "LightGCN    .4200 \u00b1 .0100 \u2191 *      \u2013      3\n"
        "Popularity  .1220                  \u2013      1  no training\n"
        "FREEDOM         \u2013              .4000      \u2013\n"
        "Mean \u00b1 standard deviation over seeds.\n"
        "*: ahead of every other row beyond the noise "
        "(t-test over seeds, p < .05; 2% between single runs).\n"
        "\u2191 \u2193: better or worse than MIG-GT (p < .05).\n"
    )


def test_text_aligns_wide_letters():
    rows = [Row("\u690e\u540d", {"m": [0.1]}), Row("abcd", {"m": [0.2]})]
    lines = to_text(leaderboard(rows)).splitlines()
    assert lines[2] == "\u690e\u540d    .1000" and lines[3].startswith("abcd    .2000")


def test_markdown():
    rows = [Row("a|b <c>", {"recall@20": [0.1]}), Row("d", {"recall@20": [0.2]})]
    assert to_markdown(leaderboard(rows)).splitlines()[:4] == [
        "| method | Recall@20 |",
        "|---|---:|",
        r"| a\|b &lt;c> | .1000 |",
        "| d | **.2000** |",
    ]


class Outline(HTMLParser):
    """Collects cells and checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.cells = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def test_html_holds_the_same_cells():
    rows = [*ROWS, Row("<b>&", {"recall@20": [0.1]})]
    text = to_html(leaderboard(rows, reference="MIG-GT"), caption="Last.fm <2K>")
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.cells[:5] == ["method", "Recall@20", "paper", "seeds", "note"]
    assert outline.cells[10:13] == ["LightGCN", ".4200 \u00b1 .0100 \u2191", "\u2013"]
    assert "<b>&" in outline.cells and "<b>" not in text
    assert "<strong>.4200</strong>" in text and "Last.fm &lt;2K&gt;" in text


def test_metrics_are_chosen_and_empty_columns_left_out():
    rows = [Row("a", {"recall@20": [0.1], "ndcg@20": [0.2]}), Row("b", {"recall@20": [0.2]})]
    assert leaderboard(rows).metrics == ("recall@20", "ndcg@20")
    assert to_text(leaderboard(rows, ["ndcg@20"])).split()[1] == "NDCG@20"
    assert "paper" not in to_text(leaderboard(rows)) and "seeds" not in to_text(leaderboard(rows))


def test_published_numbers_alone():
    table = leaderboard([Row("a", paper={"recall@20": 0.0754})])
    assert to_text(table).splitlines()[0] == "method  Recall@20, paper"
    assert table_rows(table)[0] == {
        "method": "a",
        "metric": "recall@20",
        "mean": None,
        "std": None,
        "seeds": 0,
        "paper": 0.0754,
        "best": False,
        "p_versus_reference": None,
    }


def test_numpy_values_are_welcome():
    row = Row("a", {"m": np.array([0.1, 0.2], np.float32)}, paper={"m": np.float32(0.1)})
    assert leaderboard([row]).lines[0].cells["m"].mean == pytest.approx(0.15)


def test_bars_show_means_spreads_and_published_numbers():
    _, (ax,) = style.canvas()
    assert bars.bars(leaderboard(ROWS), "recall@20", ax=ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "LightGCN",
        "FREEDOM",
        "MIG-GT",
        "Popularity",
    ]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.42, 0.36, 0.122])
    assert [bar.get_alpha() for bar in ax.patches] == [1.0, 0.45, 0.45]
    assert [text.get_text() for text in ax.texts] == [".4200", ".4000 (paper)", ".3600", ".1220"]
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in diamonds] == [0.4, 0.3529]
    assert ax.get_xlim()[0] == 0 and ax.yaxis_inverted()


def test_bars_are_alike_without_a_winner():
    _, (ax,) = style.canvas()
    rows = [Row("a", {"m": [0.100]}), Row("b", {"m": [0.101]})]
    bars.bars(leaderboard(rows), "m", order=False, ax=ax)
    assert [bar.get_alpha() for bar in ax.patches] == [1.0, 1.0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    with pytest.raises(ValueError, match="no row has 'x'; the table has m"):
        bars.bars(leaderboard(rows), "x", ax=ax)
