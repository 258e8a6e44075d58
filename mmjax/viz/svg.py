"""A figure as inline SVG that follows the light or dark scheme of the page around it."""

import base64
import hashlib
import io
import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from mmjax.viz import style
from mmjax.viz.files import figure_of

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

VARIABLES = {
    **{light: f"--c{index}" for index, light in enumerate(style.PALETTE)},
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.GRID: "--grid",
}
"""Colours of `style` and the CSS variables that take their place."""

_LOCAL = re.compile(r"\{[^}]*\}")
_COLOUR = re.compile("|".join(VARIABLES), re.IGNORECASE)
_FONT = re.compile(r"font: *(\S+px) [^;]*")
_FAMILY = re.compile(r"font-family: [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def to_svg(picture: "matplotlib.axes.Axes | matplotlib.figure.Figure", alt: str) -> str:
    """The figure of `picture` as an <svg> element without outside references; `alt` describes it.

    Text stays text in the page's own font. The colours of `style` become CSS variables (see
    `VARIABLES`) with the colour on white as their default; others stay as they are.
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mmjax"}):
        figure_of(picture).savefig(
            buffer,
            format="svg",
            transparent=True,
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None},
        )
    source = buffer.getvalue()
    root = ElementTree.fromstring(source)
    prefix = hashlib.sha256(source).hexdigest()[:8] + "-"
    for parent in list(root.iter()):
        for child in [child for child in parent if _name(child.tag) in ("metadata", "style")]:
            parent.remove(child)
    used = {name for element in root.iter() for name in _references(element)}
    for element in root.iter():
        element.tag = _name(element.tag)
        element.attrib = _attributes(element, used, prefix)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    for name in ("height", "version"):
        root.attrib.pop(name, None)
    # A point is 4/3 CSS pixels; on a narrow screen the picture shrinks until its labels are 8 px.
    root.set("style", f"width:100%;max-width:{width * 4 / 3:.0f}px;min-width:{width * 0.9:.0f}px")
    root.set("role", "img")
    root.set("aria-label", alt)
    return ElementTree.tostring(root, encoding="unicode")


def to_png_element(picture: "matplotlib.axes.Axes | matplotlib.figure.Figure", alt: str) -> str:
    """The figure as an <img> with the PNG inside it, for pictures of very many marks."""
    buffer = io.BytesIO()
    figure = figure_of(picture)
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", facecolor="white")
    image = ElementTree.Element("img")
    image.set("src", "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"))
    image.set("alt", alt)
    image.set("style", f"width:100%;max-width:{figure.get_figwidth() * 96:.0f}px")
    return ElementTree.tostring(image, encoding="unicode", method="html")


def _name(tag: str) -> str:
    return _LOCAL.sub("", tag)


def _references(element: ElementTree.Element) -> list[str]:
    found = [name for value in element.attrib.values() for name in _REFERENCE.findall(value)]
    href = next((v for k, v in element.attrib.items() if _name(k) == "href"), "")
    return found + ([href[1:]] if href.startswith("#") else [])


def _attributes(element: ElementTree.Element, used: set[str], prefix: str) -> dict[str, str]:
    """Without namespaces, foreign fonts and unused ids, which may be twice in one page."""
    attributes = {}
    for key, value in element.attrib.items():
        name = _name(key)
        if name == "id":
            if value not in used:
                continue
            value = prefix + value
        elif name == "href" and value.startswith("#"):
            value = f"#{prefix}{value[1:]}"
        elif name == "style":
            value = _FONT.sub(r"font-size: \1", value)
            value = _FAMILY.sub("font-family: inherit", value)
            value = _COLOUR.sub(_variable, value)
        attributes[name] = _REFERENCE.sub(rf"url(#{prefix}\1)", value)
    return attributes


def _variable(match: re.Match[str]) -> str:
    hexadecimal = match.group().lower()
    return f"var({VARIABLES[hexadecimal]}, {hexadecimal})"
