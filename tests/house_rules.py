"""The house rules as functions of source text; `test_architecture` holds the project to them."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES = 450
# A room may import itself and the rooms named here; "" is the top of the package.
ARROWS = {
    "": (),
    "errors": (),
    "api": ("blocks", "data", "evaluation", "models", "objective", "retriever", "training"),
    # Finished runs know methods and data, as the front door does.
    "runs": ("api", "blocks", "data", "models", "objective", "retriever", "training"),
    "objective": (),
    "semantic_ids": ("blocks", "data"),
    "blocks": (),
    "layers": ("blocks",),
    "retriever": ("blocks", "objective"),
    "evaluation": ("blocks", "objective", "retriever"),
    "encoders": ("blocks", "layers", "data"),
    "models": ("blocks", "layers", "encoders", "evaluation", "objective", "retriever"),
    "data": (),
    "training": ("blocks", "objective", "data"),
    "viz": ("data",),
}
# The same for the shelves inside a room: the folder, or the module, that an arrow may come from and
# those of the room that it may go to.
INNER_ARROWS = {
    "data": {
        "core": (),
        "io": ("core",),
        "formats": ("core", "io"),
        "synthetic": ("core",),
        "sets": ("core", "io", "formats"),
        "registry": ("core", "sets"),
        "loading": ("core", "io", "formats", "sets", "registry"),
        "__init__": ("core", "io", "formats", "synthetic", "sets", "registry", "loading"),
    },
}
NUMPY_ONLY = ("data", "viz")
ACCELERATED = {"jax", "flax", "optax", "orbax", "chex"}
# A person's or a machine's folders, and addresses of package registries.
ADDRESS = re.compile(
    r"(?<![\w.~-])/(?:root|home|Users|work|farm|tmp)/"
    r"|pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|download\.pytorch\.org"
)
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+")
SMELL = re.compile(
    r"#\s*(?:noqa|type:\s*ignore|pyright:|pylint:|fmt:|ruff:)|\b(?:TODO|FIXME|XXX)\b"
    r"|except\s*:|except (?:Base)?Exception:\s*pass|allow_pickle=True"
)
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".cfg", ".cff", ".json", ".ipynb", ".csv", ""}

# TensorFlow Datasets finds a data set's builder by this name.
PRESCRIBED = {"Builder"}

Modules = Mapping[str, str]
"""Dotted module name -> source; a package's name ends in `.__init__`."""


def modules(folder: str) -> dict[str, str]:
    """The Python sources under a top-level folder."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return {".".join(f.relative_to(ROOT).with_suffix("").parts): f.read_text() for f in files}


def room(module: str) -> str:
    """The part of mmjax that a module stands in: `mmjax.blocks.graphs.graph` -> `blocks`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__init__" else ""


def imports(module: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that a module imports, at whatever depth of its code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def wrong_arrows(sources: Modules) -> list[str]:
    """Imports between rooms that no arrow allows."""
    found = []
    for module, source in sources.items():
        here = room(module)
        for line, name in imports(module, source):
            top, _, rest = name.partition(".")
            there = rest.split(".")[0]
            if top in {"experiments", "tests"}:
                found.append(f"{module}:{line}: mmjax imports {name}")
            elif top == "mmjax" and there not in {*ARROWS[here], here, "", "errors", "__version__"}:
                found.append(f"{module}:{line}: {here or 'mmjax'} imports {name}")
            elif top == "pickle":
                found.append(f"{module}:{line}: no pickle is loaded or written")
            elif top in ACCELERATED and (
                module.startswith(tuple(f"mmjax.{r}" for r in NUMPY_ONLY))
                or (here == "models" and module.endswith(".config"))
            ):
                found.append(f"{module}:{line}: {here} is numpy only, but imports {name}")
    return found


def wrong_inner_arrows(sources: Modules) -> list[str]:
    """Imports inside a room that no inner arrow allows."""
    found = []
    for module, source in sources.items():
        here, shelf = room(module), module.split(".")[2:3]
        arrows = INNER_ARROWS.get(here)
        if arrows is None:
            continue
        for line, name in imports(module, source):
            parts = name.split(".")
            if parts[:2] != ["mmjax", here]:
                continue
            there = parts[2] if parts[2:] else "__init__"
            if not shelf or there not in {*arrows.get(shelf[0], ()), shelf[0]}:
                found.append(f"{module}:{line}: {here}/{'.'.join(shelf)} imports {name}")
    return found


def hidden_imports(sources: Modules) -> list[str]:
    """Imports of a module whose name is put together at run time."""
    found = []
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and node.args:
                called = ast.unparse(node.func).rpartition(".")[2]
                literal = isinstance(node.args[0], ast.Constant)
                if called in {"import_module", "__import__"} and not literal:
                    found.append(f"{module}:{node.lineno}: {ast.unparse(node)}")
    return found


def circle(sources: Modules) -> list[str]:
    """The modules of one import circle, or nothing."""
    names = {module.removesuffix(".__init__"): module for module in sources}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, module in names.items():
        for _, target in imports(module, sources[module]):
            while target and target not in names:
                target = target.rpartition(".")[0]
            if target and target != name:
                graph[name].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def packages(sources: Modules, parent: str) -> dict[str, str]:
    """The sources of each package directly under `parent`, put together."""
    whole: dict[str, str] = {}
    for module, source in sources.items():
        name = module.removeprefix(f"{parent}.").split(".")[0]
        if module.startswith(f"{parent}.") and name != "__init__":
            whole[f"{parent}.{name}"] = f"{whole.get(f'{parent}.{name}', '')}\n{source}"
    return whole


def classes_of_one_name(sources: Modules) -> dict[str, list[str]]:
    """Names of public classes that several modules define, and these modules."""
    places: dict[str, list[str]] = {}
    for module, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    return {name: where for name, where in places.items() if len(where) > 1}


def undocumented(sources: Modules) -> list[str]:
    """Public modules, functions, classes and methods without a docstring."""

    def look(where: str, body: list[ast.stmt]) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.If | ast.Try):
                yield from look(where, node.body)
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            overload = any(ast.unparse(d) == "overload" for d in node.decorator_list)
            if not ast.get_docstring(node) and node.name != "setup" and not overload:
                yield f"{where}.{node.name}:{node.lineno}"
            if isinstance(node, ast.ClassDef):
                yield from look(f"{where}.{node.name}", node.body)

    found = []
    for module, source in sources.items():
        tree = ast.parse(source)
        if not ast.get_docstring(tree):
            found.append(module)
        found += look(module, tree.body)
    return found


def matches(pattern: re.Pattern[str], name: str, text: str) -> list[str]:
    """Places in a text where a pattern is met."""
    lines = enumerate(text.splitlines(), 1)
    return [f"{name}:{n}: {line.strip()[:80]}" for n, line in lines if pattern.search(line)]


def committed() -> list[Path]:
    """The text files that git tracks."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [f for f in files if f.is_file() and f.suffix in TEXT]


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a snippet in a fresh interpreter, in the checkout."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


SHARED = ("common", "benchmarks")
"""Folders of experiments that are no paper's."""


def detours(sources: Modules) -> list[str]:
    """Imports by which shared code knows a paper, or a paper leads through another's experiment.

    The bench compares papers, so that it reads their settings; benchmarks may measure anything.
    """
    found = []
    for module, source in sources.items():
        here = room(module)
        for line, name in imports(module, source):
            parts = name.split(".")
            there = parts[1] if parts[0] == "experiments" and len(parts) > 1 else here
            if here == there or here in ("", "benchmarks", "__main__"):
                continue
            allowed = {"bench": {"mig_gt", "ad_drl", "meta_mmf", *SHARED}, "common": set()}
            if there not in allowed.get(here, set(SHARED)):
                found.append(f"{module}:{line}: {here} imports {name}")
    return found
