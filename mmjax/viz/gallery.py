"""Retrieved images as one self-contained page."""

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:68rem;padding:0 1rem;"
    "color:#1c2733;background:#fff}h2{margin:2rem 0 .2rem}p{color:#5b6875;margin:.2rem 0 .8rem}"
    "ol{display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:1rem;padding:0;"
    "list-style:none}li{border:1px solid #dde3e9;border-radius:8px;padding:.6rem;"
    "text-align:center}img{width:100%;height:7rem;object-fit:contain}"
    "small{display:block;color:#5b6875}"
)
_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp", b"GIF8": "gif"}


class GalleryImage(NamedTuple):
    """An image of the page."""

    content: bytes
    """Its file: PNG, JPEG, WebP or GIF."""
    title: str
    note: str = ""


def gallery(title: str, rows: Sequence[tuple[str, str, Sequence[GalleryImage]]]) -> str:
    """A page of rows, each a heading, a remark and pictures in their order.

    Raises:
        ValueError: a picture's file is of no known kind.
    """
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for heading, remark, pictures in rows:
        parts.append(f"<h2>{html.escape(heading)}</h2><p>{html.escape(remark)}</p><ol>")
        parts += [_item(n, picture) for n, picture in enumerate(pictures, 1)]
        parts.append("</ol>")
    return "\n".join([*parts, "</html>\n"])


def _item(place: int, picture: GalleryImage) -> str:
    data = base64.b64encode(picture.content).decode()
    name = html.escape(picture.title, quote=True)
    return (
        f'<li><img alt="{name}" src="data:image/{_kind(picture.content)};base64,{data}">'
        f"{place}. {name}<small>{html.escape(picture.note)}</small></li>"
    )


def _kind(content: bytes) -> str:
    for magic, kind in _KINDS.items():
        if content.startswith(magic):
            return kind
    raise ValueError(f"a picture of no known kind: its file begins with {content[:4]!r}")
