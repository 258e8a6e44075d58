"""One self-contained HTML page of a run: no scripts, no network, light and dark, phone and paper.

A page is a title and sections; each function here makes one section from plain values. Whatever
is text is escaped, so titles may hold any character.
"""

import dataclasses
import html
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, SupportsFloat

import mmjax
from mmjax.data.io.files import atomic_write_text
from mmjax.viz import style
from mmjax.viz.files import figure_of
from mmjax.viz.svg import to_png_element, to_svg
from mmjax.viz.tables import Table, to_html

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "jraph", "numpy", "scipy")


class Section(NamedTuple):
    """A heading and the HTML under it, which is trusted: build it with the functions below."""

    title: str
    body: str


class Picture(NamedTuple):
    """A figure of a page."""

    picture: "matplotlib.axes.Axes | matplotlib.figure.Figure"
    caption: str
    wide: bool = False
    """Takes the whole width, for several panels."""
    raster: bool = False
    """As PNG, for very many marks; it stays light on a dark page."""


class Pick(NamedTuple):
    """A recommended item."""

    title: str
    score: float
    hit: bool = False
    """True if it is among the user's held-out items."""


class Sample(NamedTuple):
    """The recommendations of one user."""

    user: str
    known: Sequence[str]
    """Titles of items that the user has interacted with."""
    picks: Sequence[Pick]


def write_report(
    path: str | os.PathLike[str], title: str, *sections: Section, subtitle: str = ""
) -> Path:
    """Write the page to `path` (usually ``report.html``), replacing an older one in one step."""
    atomic_write_text(path, page(title, sections, subtitle=subtitle))
    return Path(path)


def page(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    written: datetime | None = None,
) -> str:
    """The whole page as HTML. `written` is the time in the footer, by default now."""
    css = resources.files("mmjax.viz").joinpath("report.css").read_text(encoding="utf-8")
    moment = (written or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M %Z")
    links = "".join(
        f'<a href="#s{number}">{_text(section.title)}</a> '
        for number, section in enumerate(sections, start=1)
    )
    body = "\n".join(
        f'<section>\n<h2 id="s{number}">{_text(section.title)}</h2>\n{section.body}\n</section>'
        for number, section in enumerate(sections, start=1)
    )
    # The policy makes the browser itself refuse anything from outside.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>
{css}</style>
</head>
<body>
<header>
<h1>{_text(title)}</h1>
{f'<p class="sub">{_text(subtitle)}</p>' if subtitle else ""}
{f'<nav aria-label="Contents">{links}</nav>' if len(sections) > 1 else ""}
</header>
<main>
{body}
</main>
<footer>Written by mmjax {_text(mmjax.__version__)}, {_text(moment)}.</footer>
</body>
</html>
"""


def summary(
    *,
    model: str,
    data: str,
    split: str,
    seeds: Sequence[int],
    device: str,
    command: str,
    commit: str,
    wall_seconds: float | int,
    numbers: Mapping[str, SupportsFloat | str] | None = None,
    **more: object,
) -> Section:
    """Facts of a run; `numbers` stand large on top, `more` follows as it is."""
    facts: dict[str, object] = {
        "Model": model,
        "Data": data,
        "Split": split,
        "Seeds" if len(seeds) != 1 else "Seed": ", ".join(map(str, seeds)),
        "Device": device,
        "Wall time": duration(wall_seconds),
        **{name.replace("_", " ").capitalize(): value for name, value in more.items()},
    }
    tiles = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(_number(value))}</dd></div>"
        for name, value in (numbers or {}).items()
    )
    lines = "".join(f"<dt>{_text(k)}</dt><dd>{_text(_value(v))}</dd>\n" for k, v in facts.items())
    lines += f"<dt>Command</dt><dd><code>{_text(command)}</code></dd>\n"
    lines += f"<dt>Commit</dt><dd><code>{_text(commit)}</code></dd>\n"
    top = f'<dl class="numbers">{tiles}</dl>\n' if tiles else ""
    return Section("Summary", f'{top}<dl class="facts">\n{lines}</dl>')


def results(
    table: Table, title: str = "Results", *, caption: str = "", notes: Sequence[str] = ()
) -> Section:
    """A leaderboard with its legend, then `notes` as paragraphs."""
    return Section(title, to_html(table, caption) + _paragraphs(notes, ' class="note"'))


def figures(title: str, pictures: Iterable[Picture]) -> Section:
    """Pictures with captions, side by side where the page is wide enough.

    Figures that pyplot keeps are closed: they are in the page now, and a notebook does not show
    them a second time.
    """
    parts, pictures = [], list(pictures)
    for picture, caption, wide, raster in pictures:
        element = (to_png_element if raster else to_svg)(picture, caption)
        kind = ' class="wide"' if wide else ""
        parts.append(
            f'<figure{kind}><div class="scroll">{element}</div>\n'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )
    # Where pyplot was never imported it keeps nothing, and importing it takes half a second.
    if "matplotlib.pyplot" in sys.modules:
        import matplotlib.pyplot as plt

        for entry in pictures:
            plt.close(figure_of(entry.picture))
    return Section(title, '<div class="pictures">\n' + "\n".join(parts) + "\n</div>")


def recommendations(
    samples: Sequence[Sample], title: str = "Recommendations", *, known: int = 6
) -> Section:
    """A card a user: `known` of the items they like, then the ranked picks; hits have a tick."""
    cards = []
    for sample in samples:
        more = len(sample.known) - known
        likes = ", ".join(_text(name) for name in sample.known[:known])
        likes += f" and {more} more" if more > 0 else ""
        picks = "".join(map(_pick, sample.picks))
        cards.append(
            f"<article><h3>{_text(sample.user)}</h3>\n"
            f'<div class="note">Knows {likes or "nothing yet"}</div>\n<ol>\n{picks}</ol></article>'
        )
    ticks = any(pick.hit for sample in samples for pick in sample.picks)
    note = '<p class="note">\u2713 is among the held-out items of the user.</p>' if ticks else ""
    return Section(title, '<div class="people">\n' + "\n".join(cards) + f"\n</div>{note}")


def configuration(config: object, title: str = "Configuration") -> Section:
    """Every entry of a (nested) dataclass or mapping, nested names joined by dots.

    Raises:
        TypeError: `config` is neither.
    """
    entries = list(flatten(config))
    rows = "".join(
        f"<div><dt>{_text(name)}</dt><dd><code>{_text(_value(value))}</code></dd></div>\n"
        for name, value in entries
    )
    return Section(title, f'<dl class="settings">\n{rows}</dl>')


def environment(title: str = "Environment", **more: object) -> Section:
    """Python, operating system and package versions; `more` for what only the run knows."""
    facts: dict[str, object] = {
        "mmjax": mmjax.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU threads",
    }
    installed = {found.name.lower() for found in metadata.distributions() if found.name}
    facts |= {name: metadata.version(name) for name in PACKAGES if name in installed}
    return configuration(facts | more, title)


def prose(title: str, *paragraphs: str) -> Section:
    """Paragraphs of plain text."""
    return Section(title, _paragraphs(paragraphs))


def flatten(config: object, prefix: str = "") -> Iterable[tuple[str, object]]:
    """(dotted name, value) of every leaf of a nested dataclass or mapping, in order.

    Raises:
        TypeError: `config` is neither.
    """
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = dataclasses.fields(config)
        items = [(field.name, getattr(config, field.name)) for field in fields]
    elif isinstance(config, Mapping):
        items = [(str(key), value) for key, value in config.items()]
    else:
        raise TypeError(f"a dataclass or a mapping is needed, got {type(config).__name__}")
    for name, value in items:
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        if nested or (isinstance(value, Mapping) and value):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def duration(seconds: float | int) -> str:
    """A time as people say it: 3725 gives "1 h 2 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _pick(pick: Pick) -> str:
    title = _text(pick.title)
    title = f'<span class="hit">{title} \u2713</span>' if pick.hit else title
    score = f"{pick.score:#.3g}".removesuffix(".")
    return f'<li>{title} <span class="score">{score}</span></li>\n'


def _number(value: SupportsFloat | str) -> str:
    return value if isinstance(value, str) else style.number(value)


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value)) or style.MISSING
    return style.MISSING if value is None else str(value)


def _paragraphs(texts: Iterable[str], attributes: str = "") -> str:
    return "".join(f"<p{attributes}>{_text(text)}</p>\n" for text in texts)


def _text(text: str) -> str:
    return html.escape(text, quote=True)
