"""All pages of the site that are made from the checkout, and the order they stand in."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from docs.make import methods, names
from docs.make.repository import COLAB, ROOT, as_page
from mmjax.models.registry import METHODS

GUIDE = ("your_own_data", "train", "evaluate", "recommend", "encode", "extend", "devices")
"""Pages of the guide in order, written by hand below `docs/guide`."""
_PROJECT = {"BUILD.md": "Install", "CONTRIBUTING.md": "Contributing", "CHANGELOG.md": "Changelog"}


class Site(NamedTuple):
    """What the checkout gives to the site."""

    pages: dict[str, str]
    """Texts by the path among the site's sources."""
    pictures: set[str]
    """Pictures that pages show, by their path from the root; the site holds them below files/."""


def experiments() -> list[str]:
    """The experiments with a README, that of a paper each, then the benchmarks."""
    found = sorted(path.parent.name for path in ROOT.glob("experiments/*/README.md"))
    return sorted(found, key=lambda name: (name == "benchmarks", name != "bench", name))


def from_files() -> dict[str, str]:
    """Pages that are a Markdown file of the repository, by the path of the file."""
    readmes = {f"experiments/{name}/README.md": f"experiments/{name}.md" for name in experiments()}
    project = {name: f"project/{name.lower()}" for name in _PROJECT}
    return {"README.md": "index.md", **readmes, **project}


def site() -> Site:
    """Every page made here, and the pictures they show.

    Raises:
        FileNotFoundError: a link of a README leads to no file, or a method's text is missing.
    """
    files = from_files()
    pages: dict[str, str] = {}
    pictures: set[str] = set()
    for source, page in files.items():
        pages[page], shown = as_page(source, page, files)
        pictures |= shown
    pages["index.md"] = f"---\nhide: [navigation]\n---\n\n{pages['index.md']}"
    for name in METHODS:
        pages[f"methods/{name}.md"] = methods.page(name, files)
    pages["methods/index.md"] = methods.index()
    pages["notebooks.md"] = notebooks()
    pages["data_sets.md"] = data_sets()
    pages["reference/index.md"] = reference_index()
    for package in names.packages():
        pages[f"reference/{package}.md"] = reference(package)
    return Site(pages, pictures)


def notebooks() -> str:
    """The notebooks with their first paragraph and where to open them."""
    parts = [
        "# Notebooks",
        "Each runs in minutes on a laptop or on Colab; `make notebooks` executes all of them.",
    ]
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        text = "".join(next(c["source"] for c in cells if c["cell_type"] == "markdown"))
        lines = [line for line in text.splitlines() if not line.startswith("[![Open In Colab")]
        head = "\n".join(lines).strip().removeprefix("# ")
        place = f"notebooks/{path.name}"
        parts += [f"## {head}", f"[Open in Colab]({COLAB}/{place}) · `{place}`"]
    return "\n\n".join(parts) + "\n"


def data_sets() -> str:
    """The data sets of the registry, with what their READMEs say."""
    parts = [
        "# Data sets",
        '`mmjax.load("lastfm_2k")` gives a data set; `mmjax.data.listing()` prints this list. '
        "Sets that cannot be shipped are read from a folder, and the error says which files to "
        "put there. Your own: [guide](guide/your_own_data.md).",
    ]
    for path in sorted(ROOT.glob("mmjax/data/sets/*/README.md")):
        text = path.read_text().strip()
        parts += [f"## {path.parent.name}", "\n".join(_lowered(text.splitlines()))]
    return "\n\n".join(parts) + "\n"


def _lowered(lines: list[str]) -> list[str]:
    return [f"##{line}" if line.startswith("#") else line for line in lines]


def reference(package: str) -> str:
    """The page of a package: its public names in a table, then each of its modules in full."""
    inside = [p for p in names.packages() if p.rpartition(".")[0] == package]
    parts = [f"# {package}", names.docstring(package)]
    if inside:
        rows = [[f"[`{p}`]({p}.md)", names.first_line(names.docstring(p))] for p in inside]
        parts += ["## Packages", methods.table(["package", "what"], rows)]
    rows = [
        [_linked(known), _about(known.target)]
        for known in names.public(package)
        if known.target not in inside
    ]
    if rows:
        parts += ["## Names", methods.table(["name", "what"], rows)]
    if modules := names.modules(package):
        parts += ["## Modules", *(f"::: {module}" for module in modules)]
    return "\n\n".join(parts) + "\n"


def _linked(known: names.Name) -> str:
    if names.is_package(known.target):
        return f"[`{known.name}`]({known.target}.md)"
    return f"[`{known.name}`][{known.target}]"


def _about(target: str) -> str:
    return names.first_line(names.docstring(target)) or names.value(target)


def reference_index() -> str:
    """The list of packages."""
    rows = [
        [f"[`{p}`]({p}.md)", names.first_line(names.docstring(p))]
        for p in names.packages()
        if p.count(".") <= 1 or p.startswith("mmjax.blocks.")
    ]
    text = "Every public name of the library, by package; made from the docstrings."
    return f"# Reference\n\n{text}\n\n{methods.table(['package', 'what'], rows)}\n"


def navigation() -> list[Any]:
    """The menu: titles and pages, nested."""
    by_family: dict[str, list[Mapping[str, str]]] = {}
    for name, method in METHODS.items():
        entry = {method.title: f"methods/{name}.md"}
        by_family.setdefault(method.family.capitalize(), []).append(entry)
    return [
        {"Home": "index.md"},
        {"Guide": [*(f"guide/{name}.md" for name in GUIDE), "notebooks.md", "data_sets.md"]},
        {"Methods": ["methods/index.md", *({f: found} for f, found in by_family.items())]},
        {"Experiments": [f"experiments/{name}.md" for name in experiments()]},
        {"Reference": ["reference/index.md", *_tree("mmjax")]},
        {"Project": [{title: f"project/{name.lower()}"} for name, title in _PROJECT.items()]},
    ]


def _tree(package: str) -> list[Any]:
    entry = {package.removeprefix("mmjax."): f"reference/{package}.md"}
    inside = [p for p in names.packages() if p.rpartition(".")[0] == package]
    return [entry, *(found for p in inside for found in _tree(p))]
