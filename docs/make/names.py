"""Public names of the library, read from its source text without importing it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from docs.make.repository import ROOT

LIBRARY = "mmjax"
_SETS = "mmjax.data.sets."
_LONG = 80


class Name(NamedTuple):
    """A public name of a package."""

    name: str
    """As a user imports it from the package."""
    target: str
    """Dotted path of what it stands for: a module, or an object in the module that defines it."""


def path_of(dotted: str) -> Path | None:
    """The file of a module or package, None if `dotted` is neither."""
    place = ROOT.joinpath(*dotted.split("."))
    for found in (place / "__init__.py", place.with_suffix(".py")):
        if found.is_file():
            return found
    return None


def is_package(dotted: str) -> bool:
    """Whether a dotted path is a package."""
    return (ROOT.joinpath(*dotted.split(".")) / "__init__.py").is_file()


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def docstring(dotted: str) -> str:
    """The docstring of a module, class, function or constant."""
    path = path_of(dotted)
    if path is not None:
        return ast.get_docstring(tree(path)) or ""
    node = find(dotted)
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return ast.get_docstring(node) or ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def find(dotted: str) -> ast.AST | None:
    """The definition of a module's class or function, its imports followed; of a constant the
    string that describes it."""
    module, _, name = dotted.rpartition(".")
    path = path_of(module)
    if path is None:
        return None
    body = tree(path).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _names(node):
            return after.value if isinstance(after, ast.Expr) else None
    base = module if is_package(module) else module.rpartition(".")[0]
    target = dict(imports(base, tree(path))).get(name)
    return find(target) if target is not None else None


def _names(node: ast.stmt) -> set[str]:
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def value(dotted: str) -> str:
    """What a constant is set to, as code; a long one is cut."""
    module, _, name = dotted.rpartition(".")
    path = path_of(module)
    for node in tree(path).body if path is not None else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and name in _names(node):
            text = " ".join(ast.unparse(node.value).split())
            return f"`{text if len(text) <= _LONG else text[:_LONG] + ' ...'}`"
    return ""


def first_line(text: str) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(text.split("\n\n")[0].split())


def packages() -> list[str]:
    """Every package of the library but those of single data sets."""
    found = sorted(ROOT.joinpath(LIBRARY).rglob("__init__.py"))
    dotted = [".".join(path.parent.relative_to(ROOT).parts) for path in found]
    return [name for name in dotted if not name.startswith(_SETS) or name == f"{_SETS}common"]


def modules(package: str) -> list[str]:
    """The public modules directly in a package, its packages left out."""
    folder = ROOT.joinpath(*package.split("."))
    files = sorted(path.stem for path in folder.glob("*.py"))
    return [f"{package}.{stem}" for stem in files if not stem.startswith("_")]


@cache
def public(package: str) -> tuple[Name, ...]:
    """The names that a package gives to its users, in the order of its listing.

    Of a package with a stub they are the stub's imports, else those of `__all__`; a package without
    either gives none.
    """
    folder = ROOT.joinpath(*package.split("."))
    stub = folder / "__init__.pyi"
    source = tree(stub if stub.is_file() else folder / "__init__.py")
    targets = dict(imports(package, source))
    listed = list(targets) if stub.is_file() else _listed(source)
    own = [name for name in listed if name not in targets]
    targets.update({name: f"{package}.{name}" for name in own})
    return tuple(Name(name, definition(targets[name])) for name in listed)


def _listed(source: ast.Module) -> list[str]:
    for node in source.body:
        if isinstance(node, ast.Assign) and "__all__" in _names(node):
            return list(ast.literal_eval(node.value))
    return []


def imports(package: str, source: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that a file imports from elsewhere, and their dotted paths."""
    for node in source.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
        stem = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, f"{stem}.{alias.name}"


def definition(dotted: str) -> str:
    """The dotted path where an object is defined, its way through packages followed."""
    if path_of(dotted) is not None:
        return dotted
    module, _, name = dotted.rpartition(".")
    if is_package(module):
        for known in public(module):
            if known.name == name and known.target != dotted:
                return known.target
    return dotted
