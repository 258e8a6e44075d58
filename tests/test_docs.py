"""The site has every public name and every method, and its links and commands lead somewhere.

`make docs` builds it strictly; nothing here needs MkDocs.
"""

import dataclasses
import importlib
import itertools
import pkgutil
import posixpath
import re
import shlex
import tomllib
from functools import cache

import pytest

import mmjax
from docs.make import methods, names, pages
from docs.make.repository import ROOT, as_page, links
from mmjax.models.registry import METHODS


@cache
def site():
    return pages.site()


@cache
def everything():
    """All pages by path, those written by hand among them."""
    written = {
        str(path.relative_to(ROOT / "docs")): path.read_text()
        for path in (ROOT / "docs").rglob("*.md")
    }
    return written | site().pages


def single_data_set(package):
    return package.startswith("mmjax.data.sets.") and not package.endswith(".common")


@cache
def runtime_names():
    """Every name that a package gives at run time, and the object."""
    found = {}
    for module in pkgutil.walk_packages(mmjax.__path__, "mmjax."):
        if module.ispkg and not single_data_set(module.name):
            package = importlib.import_module(module.name)
            for name in getattr(package, "__all__", ()):
                found[module.name, name] = getattr(package, name)
    found |= {("mmjax", name): getattr(mmjax, name) for name in dir(mmjax)}
    return found


def documented(target):
    """Whether the reference shows a module, or the module that an object is defined in."""
    if names.is_package(target):
        return f"reference/{target}.md" in site().pages
    module = target if names.path_of(target) else target.rpartition(".")[0]
    page = site().pages[f"reference/{module.rpartition('.')[0]}.md"]
    return f"::: {module}\n" in page


def test_every_public_name_is_in_the_reference():
    found = runtime_names()
    assert len(found) > 400
    missing = []
    for (package, name), thing in found.items():
        known = {n.name: n.target for n in names.public(package)}
        target = known.get(name, "")
        module, _, attribute = target.rpartition(".")
        same = target and thing is (
            importlib.import_module(target)
            if names.path_of(target)
            else getattr(importlib.import_module(module), attribute)
        )
        if not same or not documented(target):
            missing.append(f"{package}.{name} -> {target}")
    assert missing == []


def test_every_module_is_in_the_reference():
    """Names that no package lists are found under their module."""
    found = {m.name for m in pkgutil.walk_packages(mmjax.__path__, "mmjax.") if not m.ispkg}
    inside = {m for m in found if not single_data_set(m.rpartition(".")[0])}
    assert [m for m in sorted(inside) if "._" not in m and not documented(m)] == []


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page(name):
    page, method = site().pages[f"methods/{name}.md"], METHODS[name]
    heads = ("Idea", "Equations", "Command", "Table", "Differences and switches", "Settings")
    assert [head for head in heads if f"\n## {head}\n" not in page] == []
    assert page.startswith(f"# {method.title}\n")
    fields = method.config_class()._fields if name == "incdsi" else None
    fields = fields or method.config_class().__dataclass_fields__
    assert [field for field in fields if f"| `{field}` |" not in page] == []
    assert method.builder().__name__ in page


def test_no_text_is_left_of_a_method_that_is_gone():
    assert {path.stem for path in methods.WRITTEN.glob("*.md")} == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_the_command_of_a_method_is_accepted(name):
    experiment, command = methods.experiment_of(name)
    _, _, module, *flags = shlex.split(command, comments=True)
    assert module == f"experiments.{experiment}"
    config = importlib.import_module(f"{module}.config")
    run = config.EXPERIMENT.parse(flags)
    if name in ("two_tower", "rq_vae"):  # stages of other methods
        return
    assert name in (*getattr(run, "models", ()), getattr(run, "method", ""), experiment)


def test_sentences_that_name_released_code_are_among_the_differences():
    page = site().pages["methods/grcn.md"]
    assert "Send the routing's messages from users to items" in page
    assert "Differences from the released code" in site().pages["methods/avg.md"]


def flat(entries):
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else flat(value)


def test_the_menu_holds_every_page_once():
    menu = [*flat(pages.navigation())]
    assert len(menu) == len(set(menu))
    assert set(menu) == set(everything())


def test_links_between_pages_lead_somewhere():
    files = {f"files/{picture}" for picture in site().pictures}
    broken = []
    for page, text in everything().items():
        for link in links(text):
            path = link.partition("#")[0]
            if "://" in link or not path:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            if target not in everything() and target not in files:
                broken.append(f"{page}: {link}")
    assert broken == []


def test_pictures_of_readmes_are_on_the_site():
    assert {p for p in site().pictures if p.startswith("experiments/mig_gt/results/")}
    assert all((ROOT / picture).is_file() for picture in site().pictures)


def test_a_link_that_leads_to_no_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("docs.make.repository.ROOT", tmp_path)
    (tmp_path / "here.py").touch()
    (tmp_path / "A.md").write_text("[x](here.py)\n```\n[y](gone.py)\n```\n")
    text, _ = as_page("A.md", "a.md", {})
    assert "/blob/main/here.py)" in text and "[y](gone.py)" in text
    (tmp_path / "A.md").write_text("[y](gone.py)")
    with pytest.raises(FileNotFoundError, match="A.md: the link gone.py"):
        as_page("A.md", "a.md", {})


def command_lines():
    """Page, module, words and flags of every command of the experiments in a block of a page."""
    for page, text in everything().items():
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        whole = "\n".join(block for language, block in blocks if language in ("", "bash"))
        for line in whole.replace("\\\n", " ").splitlines():
            if match := re.match(r"python -m (experiments[.\w]*)(.*)", line):
                words = shlex.split(match.group(2), comments=True)
                flags = [w for w in words if w.startswith("--")]
                yield page, match.group(1), words, [f.partition("=")[0] for f in flags]


def fields(node, stem="--"):
    """Flags of a dataclass, or of an instance, whose groups are flags of several parts."""
    for field in dataclasses.fields(node):
        name = stem + field.name.replace("_", "-")
        value = getattr(node, field.name, None)
        kind = field.type if isinstance(node, type) else value
        yield name
        yield f"{stem}no-{name.removeprefix(stem)}"
        if dataclasses.is_dataclass(kind):
            yield from fields(kind, f"{name}.")


def accepted(module, words):
    """The flags that a command takes; None if its module has no list of them."""
    command = words[0] if words and not words[0].startswith("-") else ""
    if module == "experiments":
        assert not command or command in importlib.import_module("experiments.__main__").COMMANDS
        prepare = importlib.import_module("experiments.prepare.interactions")
        return {"--help", *fields(prepare.Prepare)} if command == "prepare" else None
    if names.path_of(f"{module}.config") is None:
        return None
    experiment = importlib.import_module(f"{module}.config").EXPERIMENT
    if command:
        assert command in experiment.commands, f"{module} {command}"
        flags = experiment.commands[command].flags
        return {"--help", *(fields(flags) if flags else ())}
    pairs = dict(itertools.pairwise([*words, ""]))
    chosen = {n: pairs[f"--{n}"] for n in ("method", "preset") if f"--{n}" in pairs}
    return {"--help", *fields(experiment.settings(**chosen))}


def test_commands_and_flags_that_pages_show_exist():
    found, unknown = 0, []
    for page, module, words, flags in command_lines():
        known = accepted(module, words)
        found += known is not None
        wrong = {flag.replace("_", "-") for flag in flags} - (known or {*flags})
        unknown += [f"{page}: {module} {' '.join(words)}: {flag}" for flag in sorted(wrong)]
    assert found > 80
    assert unknown == []


def test_what_the_site_is_built_with_is_pinned():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {line.partition("==")[0].lower() for line in lines}
    wanted = {re.split(r"[\[>=]", need)[0] for need in extras["optional-dependencies"]["docs"]}
    assert wanted <= pins


def moved_to():
    text = (ROOT / "CHANGELOG.md").read_text().partition("### Moved names\n")[2]
    rows = re.findall(r"^\| `(.+)` \| `(mmjax\.[\w.*]+)` \|$", text, re.MULTILINE)
    for old, new in rows:
        found = re.search(r"\{(.+)\}", old)
        stems = found.group(1).split(", ") if found else [""]
        yield from (new.replace("*", stem) for stem in stems)


def test_names_that_moved_are_where_the_changelog_says():
    found = [*moved_to()]
    assert len(found) > 100
    assert [name for name in found if not exists(name)] == []


def exists(name):
    try:
        return pkgutil.resolve_name(name) is not None
    except (ImportError, AttributeError):
        return False


def test_one_version_everywhere():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## \[(.+?)\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cited and newest
    assert {cited.group(1), newest.group(1)} == {mmjax.__version__}


def test_the_code_of_a_method_of_your_own_runs():
    blocks = re.findall(r"```python\n(.*?)```", everything()["guide/extend.md"], re.DOTALL)
    found = {}
    exec(compile("\n".join(blocks), "guide/extend.md", "exec"), found)
    assert 0 < float(found["value"]) < 2


def test_names_of_the_library_on_pages_exist():
    gone = []
    for page, text in everything().items():
        if not page.startswith(("reference/", "project/changelog")):  # the old names stand there
            found = set(
                re.findall(r"\b(mmjax(?:\.[A-Za-z_]\w*)+)", re.sub(r"\(\S+?\)", "()", text))
            )
            gone += [f"{page}: {name}" for name in sorted(found) if not exists(name)]
    assert gone == []
