"""The report page and saved pictures: complete, escaped, self-contained, written in one step."""

import csv
import dataclasses
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmjax.viz import curves, files, heatmap, report, style, svg
from mmjax.viz.tables import Row, leaderboard

NASTY = 'Simon & Garfunkel <script>alert("1")</script> it\'s'
VOID = {"meta", "img", "br", "link"}


@dataclasses.dataclass(frozen=True)
class Inner:
    hops: tuple[int, ...] = (4, 2, 1)
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str = NASTY
    inner: Inner = Inner()
    rates: dict = dataclasses.field(default_factory=lambda: {"edge": 0.2})
    empty: dict = dataclasses.field(default_factory=dict)


class Page(HTMLParser):
    """Reads a page, checking that every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def values(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def learning_curve():
    _, (ax,) = style.canvas()
    return curves.curves([{"epoch": e, "loss": 3.0 / e} for e in range(1, 9)], "loss", ax=ax)


def heat_map():
    _, (ax,) = style.canvas()
    return heatmap.heat_map(np.array([[0.1, 0.2]]), (0,), (0, 1), title=NASTY, ax=ax)


def sections():
    rows = [Row(NASTY, {"recall@20": [0.35, 0.36]}, (1, 2)), Row("LightGCN", {"recall@20": [0.4]})]
    pick = report.Pick(NASTY, 1.25, hit=True)
    return [
        report.summary(
            model=NASTY,
            data="lastfm_2k",
            split="mmrec",
            seeds=[1, 2],
            device="cpu",
            command="python -m experiments.mig_gt --data a&b",
            commit="0" * 40,
            wall_seconds=372,
            numbers={"Test Recall@20": 0.3528, "Best epoch": "290"},
            early_stop=NASTY,
        ),
        report.results(leaderboard(rows), caption=NASTY, notes=[NASTY]),
        report.figures(
            NASTY,
            [
                report.Picture(learning_curve(), NASTY),
                report.Picture(heat_map(), "hops", wide=True),
                report.Picture(heat_map().figure, "again", raster=True),
            ],
        ),
        report.recommendations([report.Sample(NASTY, [NASTY] * 8, [pick])]),
        report.configuration(Outer()),
        report.environment(devices="cpu:0"),
        report.prose("Notes", NASTY),
    ]


@pytest.fixture(scope="module")
def html():
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return report.page(NASTY, sections(), subtitle=NASTY, written=moment)


def test_page_is_well_formed_and_says_everything(html):
    text = Page(html).text
    for part in (
        "lastfm_2k",
        "mmrec",
        "1, 2",
        "6 min 12 s",
        "python -m experiments.mig_gt --data a&b",
        ".3528",
        "Early stop",
        ".3550 \u00b1 .0071",
        "Epoch",
        ".2000",
        "and 2 more",
        "1.25",
        "inner.hops",
        "4, 2, 1",
        "rates.edge",
        "0.2",
        "numpy",
        np.__version__,
        "devices",
        "Written by mmjax",
        "2026-01-02 03:04 UTC",
        "Configuration",
    ):
        assert part in text, part


def test_everything_is_escaped(html):
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("alert(") >= 12
    assert "&amp;amp;" not in html and "&amp;lt;" not in html


def test_page_needs_nothing_from_outside(html):
    page = Page(html)
    assert "http" not in html.replace("http-equiv", "")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert all(source.startswith("data:") for source in page.values("src"))
    assert all(target.startswith("#") for target in page.values("href"))
    assert not re.search(r"@import|url\((?!#)", html)
    assert "default-src 'none'" in html


def test_ids_are_unique_and_every_reference_has_its_target(html):
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {target[1:] for target in page.values("href")} | set(
        re.findall(r"url\(#(.*?)\)", html)
    )
    assert targets <= set(ids)


def test_page_follows_scheme_paper_and_phone(html):
    for part in ("prefers-color-scheme: dark", "@media print", 'name="viewport"', 'lang="en"'):
        assert part in html
    defined = set(re.findall(r"(--[a-z0-9]+):", html))
    assert set(re.findall(r"var\((--[a-z0-9]+)", html)) <= defined
    dark = html.split("prefers-color-scheme: dark")[1].split("}")[0]
    assert all(colour in dark for colour in style.PALETTE_DARK)
    assert all(colour in html.split("@media")[0] for colour in style.PALETTE)


def test_write_report_replaces_in_one_step(tmp_path):
    path = tmp_path / "run" / "report.html"
    assert report.write_report(path, "first", report.prose("a", "b")) == path
    assert "first" in path.read_text(encoding="utf-8")
    report.write_report(path, "second", report.prose("a", "b"))
    assert "second" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_figures_of_pyplot_are_closed_once_they_are_in_the_page():
    import matplotlib.pyplot as plt

    ax = curves.curves([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}], "loss")
    number = ax.figure.number
    section = report.figures("Training", [report.Picture(ax, "loss")])
    assert "<svg" in section.body and number not in plt.get_fignums()


def test_configuration_takes_records_only():
    assert list(report.flatten(Outer(name="x"))) == [
        ("name", "x"),
        ("inner.hops", (4, 2, 1)),
        ("inner.note", None),
        ("rates.edge", 0.2),
        ("empty", {}),
    ]
    with pytest.raises(TypeError, match="a dataclass or a mapping is needed, got int"):
        report.configuration(3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (59, "59 s"), (372, "6 min 12 s"), (3725, "1 h 2 min")],
)
def test_durations(seconds, words):
    assert report.duration(seconds) == words


def test_svg_keeps_text_and_takes_the_colours_of_the_page():
    element = svg.to_svg(learning_curve(), "loss & more")
    assert element.startswith("<svg") and 'aria-label="loss &amp; more"' in element
    assert ">Epoch</text>" in element and "DejaVu" not in element
    assert "var(--c0, #1046cc)" in element and "var(--muted, #6a7180)" in element
    assert "<style" not in element and "metadata" not in element
    assert svg.to_svg(learning_curve(), "loss & more") == element, "equal pictures, equal text"


def test_saved_picture_and_its_numbers(tmp_path):
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None, "note": 'a, "b"'}]
    png, table = files.save(learning_curve(), tmp_path / "sub" / "loss.png", rows)
    assert png.read_bytes().startswith(b"\x89PNG") and table.name == "loss.csv"
    with table.open(newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["epoch", "loss", "note"],
            ["1", "0.5", ""],
            ["2", "", 'a, "b"'],
        ]
    assert sorted(file.name for file in png.parent.iterdir()) == ["loss.csv", "loss.png"]
    again, _ = files.save(learning_curve().figure, tmp_path / "again.png", rows)
    assert again.read_bytes() == png.read_bytes()


def test_the_outermost_figure_is_found():
    figure, (ax,) = style.canvas()
    assert files.figure_of(ax) is files.figure_of(figure) is figure
    inner = Figure().subfigures(1, 2)[0]
    assert files.figure_of(inner.subplots()) is inner.figure


def test_save_refuses_other_formats_and_missing_numbers(tmp_path):
    with pytest.raises(ValueError, match="saved as .png, got"):
        files.save(learning_curve(), tmp_path / "a.pdf", [{"a": 1}])
    with pytest.raises(ValueError, match="no rows to write"):
        files.save(learning_curve(), tmp_path / "a.png", [])
    assert list(tmp_path.iterdir()) == []
