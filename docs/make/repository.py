"""The checkout as the site reads it: places, addresses, and links of Markdown turned to pages."""

import os
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/mmjax/mmjax"
COLAB = "https://colab.research.google.com/github/mmjax/mmjax/blob/main"
PICTURES = {".png", ".jpg", ".svg"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```\s*$)", re.MULTILINE | re.DOTALL)


def source_address(path: str) -> str:
    """Where the repository shows a file or folder, given its path from the root."""
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{ADDRESS}/{kind}/main/{path}"


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """`change` the parts of a Markdown text that are not in fenced blocks."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def links(text: str) -> list[str]:
    """Targets of the links and pictures of a Markdown text, those in fenced blocks left out."""
    found: list[str] = []

    def collect(part: str) -> str:
        found.extend(target for _, _, target in LINK.findall(part))
        return part

    outside_code(text, collect)
    return found


def relative(target: str, page: str) -> str:
    """`target`, a path of the site's sources, as a link on `page`."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def as_page(source: str, page: str, pages: Mapping[str, str]) -> tuple[str, set[str]]:
    """A Markdown file of the repository as a page of the site.

    A link to a file that is a page leads to that page, a picture is named to be copied, any other
    file is shown where the repository shows it.

    Args:
        source: path of the file from the root.
        page: path of the page among the site's sources.
        pages: the pages made from files, by the path of the file.

    Returns:
        The text, and the paths of the pictures, which the site holds below ``files/``.

    Raises:
        FileNotFoundError: a link that leads to no file.
    """
    pictures: set[str] = set()

    def turn(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        path, sign, anchor = target.partition("#")
        if "://" in target or not path:
            return match.group()
        found = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / found).exists():
            raise FileNotFoundError(f"{source}: the link {target} leads to no file")
        readme = posixpath.join(found, "README.md")
        written = found.removeprefix("docs/") if re.match(r"docs/.*\.md$", found) else None
        if (known := pages.get(found) or pages.get(readme) or written) is not None:
            return f"{mark}[{words}]({relative(known, page)}{sign}{anchor})"
        if mark and os.path.splitext(found)[1] in PICTURES:
            pictures.add(found)
            return f"![{words}]({relative(f'files/{found}', page)})"
        return f"{mark}[{words}]({source_address(found)}{sign}{anchor})"

    text = outside_code((ROOT / source).read_text(), lambda part: LINK.sub(turn, part))
    return text, pictures
