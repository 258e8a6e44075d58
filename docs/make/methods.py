"""The page of each method: written idea and equations; the rest from registry and docstrings."""

import ast
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs.make import names
from docs.make.repository import COLAB, ROOT, relative, source_address
from mmjax.models.registry import METHODS, Method

WRITTEN = ROOT / "docs" / "methods"
_FAMILIES = {
    "collaborative": "from interactions alone",
    "multimodal": "from what items look, read and sound like",
    "sequential": "the next item of a sequence",
    "generative": "by writing the ids of items",
    "retrieval": "documents and images by text",
}
_OWN = {"mig_gt", "meta_mmf", "ad_drl", "mmgrec", "tiger", "avg", "prompt_dsi"}
"""Methods with an experiment of their name."""
_COMMANDS = {
    "sasrec": ("tiger", "python -m experiments.tiger --method sasrec --workdir runs/sasrec"),
    "tiger": ("tiger", "python -m experiments.tiger --method tiger --workdir runs/tiger"),
    "two_tower": ("avg", "python -m experiments.avg --workdir runs/avg  # its first stage"),
    "incdsi": (
        "prompt_dsi",
        "python -m experiments.prompt_dsi --method incdsi --workdir runs/incdsi",
    ),
    "rq_vae": ("tiger", "python -m experiments.tiger --method tiger --model.ids.quantiser rq_vae"),
}
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
_DEVIATES = re.compile(
    r"\b(official|released code|authors|MMRec|the paper|paper's|published|original)\b"
)
_RESULT_TITLES = {"recall@10": "Recall@10", "recall@20": "Recall@20", "ndcg@20": "NDCG@20"}


class Setting(NamedTuple):
    """A field of a configuration."""

    name: str
    default: str
    meaning: str


def family_title(family: str) -> str:
    """The heading of a family of methods."""
    return f"{family.capitalize()}: {_FAMILIES[family]}" if family in _FAMILIES else family


def module_path(method: Method) -> str:
    """The dotted path of a method's module or package."""
    return f"mmjax.models.{method.family}.{method.module}"


def files(method: Method) -> list[str]:
    """The modules that a method consists of, dotted."""
    top = module_path(method)
    return names.modules(top) if names.is_package(top) else [top]


def paper(method: Method) -> str:
    """The paper, its arXiv number as a link."""
    return _ARXIV.sub(r"[\g<0>](https://arxiv.org/abs/\1)", method.paper)


def experiment_of(name: str) -> tuple[str, str]:
    """The experiment that trains a method, and the command."""
    if name in _COMMANDS:
        return _COMMANDS[name]
    if name in _OWN:
        return name, f"python -m experiments.{name} --workdir runs/{name}"
    return "bench", f"python -m experiments.bench --models {name} --workdir runs/{name}"


def settings(method: Method) -> list[Setting]:
    """The fields of a method's configuration, with what they mean.

    Raises:
        LookupError: its modules neither define nor import the class.
    """
    for module in files(method):
        found = names.find(f"{module}.{method.config}")
        if isinstance(found, ast.ClassDef):
            return list(_fields(found))
    raise LookupError(f"{method.title}: no class {method.config} in {', '.join(files(method))}")


def _fields(node: ast.ClassDef) -> Iterator[Setting]:
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        default = ast.unparse(field.value) if field.value is not None else ""
        said = after.value if isinstance(after, ast.Expr) else None
        meaning = " ".join(str(said.value).split()) if isinstance(said, ast.Constant) else ""
        yield Setting(field.target.id, default, meaning)


def differences(method: Method) -> list[str]:
    """Sentences of the docstrings that compare with the paper or with released code."""
    found = []
    for module in files(method):
        path = names.path_of(module)
        for node in ast.walk(names.tree(path)) if path is not None else ():
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = re.split(
                    r"\n\s*(?:Args|Attributes|Returns|Raises|Axes):", ast.get_docstring(node) or ""
                )
                if isinstance(node, ast.Module):
                    found += [p for p in text[0].split("\n\n") if _DEVIATES.search(p)]
                elif _DEVIATES.search(text[0]):
                    found.append(f"`{node.name}`: {text[0]}")
    for setting in settings(method):
        if _DEVIATES.search(setting.meaning) or setting.name == "official":
            found.append(f"`{setting.name} = {setting.default}`: {setting.meaning}")
    return list(dict.fromkeys(" ".join(paragraph.split()) for paragraph in found))


def results(title: str) -> list[list[str]]:
    """Rows of the bench's tables that are a method's: data set, metrics, seeds."""
    rows = []
    for path in sorted(ROOT.glob("experiments/bench/results/*.csv")):
        with path.open(newline="") as lines:
            cells = {r["metric"]: r for r in csv.DictReader(lines) if r["method"] == title}
        if cells:
            shown = [_figure(cells[metric]) for metric in _RESULT_TITLES]
            rows.append([f"`{path.stem}`", *shown, next(iter(cells.values()))["seeds"]])
    return rows


def _figure(cell: dict[str, str]) -> str:
    mean, spread = float(cell["mean"]), cell["std"]
    shown = f"{mean:.4f}".removeprefix("0")
    return f"{shown} ± {float(spread):.4f}".replace("± 0", "± ") if spread else shown


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in lines)


def written(name: str) -> Path:
    """The file that holds a method's idea and equations."""
    return WRITTEN / f"{name}.md"


def page(name: str, pages: dict[str, str]) -> str:
    """The page of the method `name`; `pages` are those made from files, by the file."""
    method = METHODS[name]
    here = f"methods/{name}.md"
    top = module_path(method)
    file = top.replace(".", "/") + ("" if names.is_package(top) else ".py")
    experiment, command = experiment_of(name)
    readme = relative(pages[f"experiments/{experiment}/README.md"], here)
    found = results(method.title)
    bench = relative(pages["experiments/bench/README.md"], here)
    verified = method.verified or "its equations, by tests worked by hand"
    parts = [
        f"# {method.title}",
        names.first_line(names.docstring(top)),
        table(
            ["paper", paper(method)],
            [
                ["family", f"{method.family}: {_FAMILIES.get(method.family, method.family)}"],
                ["built from", method.kind],
                ["code", f"[`{file}`]({source_address(file)})"],
                ["verified against", verified],
                ["training", "several stages" if method.stages else "one stage"],
            ],
        ),
        written(name).read_text().strip(),
        "## Command",
        f"```\n{command}\n```",
        f"The experiment [{experiment}]({readme}) says what it trains on and under which protocol.",
        f"In Python:\n\n```python\n{_python(method)}\n```",
        *notebooks_of(name),
        f"Everything in it: [`{top}`]({_reference_link(top, here)}).",
        "## Table",
        _tables(found, method.title, experiment, readme, bench),
        "## Differences and switches",
        _differences(method, experiment, readme),
        "## Settings",
        f"`{method.config}`",
        table(["field", "default", "meaning"], _settings_rows(method)),
    ]
    return "\n\n".join(parts) + "\n"


def notebooks_of(name: str) -> list[str]:
    """A line for each notebook that has the method in its name."""
    found = sorted(path.name for path in ROOT.glob(f"notebooks/[0-9]*_{name}.ipynb"))
    return [f"Notebook `{n}`: [open in Colab]({COLAB}/notebooks/{n})." for n in found]


def _python(method: Method) -> str:
    """Lines that build the method, on bundled data where it is one of a single stage."""
    lines = ["import mmjax", f"from mmjax.models import {method.module}", ""]
    config = f"{method.module}.{method.config}()"
    if method.kind == "interactions" and not method.stages:
        lines += ['data = mmjax.load("ml_small_mm")']
        lines += [f"model = {method.module}.{method.build}({config}, mmjax.task(data))"]
    else:
        lines += [f"config = {config}", f"help({method.module}.{method.build})"]
    return "\n".join(lines)


def _reference_link(top: str, here: str) -> str:
    package = top if names.is_package(top) else top.rpartition(".")[0]
    anchor = "" if names.is_package(top) else f"#{top}"
    return relative(f"reference/{package}.md", here) + anchor


def paper_tables(experiment: str, title: str) -> list[str]:
    """Rows of a method in the tables of an experiment's README, each under its section's name."""
    text = (ROOT / "experiments" / experiment / "README.md").read_text()
    shown = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for block in re.findall(r"<!-- table:.*?-->\n(.*?)<!-- end -->", body, re.DOTALL):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            rows = [row for row in lines[2:] if title.lower() in row.split("|")[1].lower()]
            if rows and lines[0].startswith("| method |"):
                shown.append("\n".join([f"**{heading}**", "", *lines[:2], *rows]))
    return shown


def _tables(found: list[list[str]], title: str, experiment: str, readme: str, bench: str) -> str:
    parts = []
    if found:
        head = ["data", *_RESULT_TITLES.values(), "seeds"]
        note = "Test, all items ranked; mean ± deviation over seeds"
        parts += [table(head, found), f"{note}; beside all others in the [bench]({bench})."]
    if experiment != "bench":
        parts += paper_tables(experiment, title)
        said = (
            "How they came about, and beside what"
            if parts
            else "No table is of it alone; it is part of"
        )
        parts.append(f"{said}: [{experiment}]({readme}).")
    return "\n\n".join(parts or ["It has not been run in the bench yet."])


def _differences(method: Method, experiment: str, readme: str) -> str:
    said = [f"- {sentence}" for sentence in differences(method)]
    text = (ROOT / "experiments" / experiment / "README.md").read_text()
    if heading := re.search(r"^## (.*differences.*)$", text, re.MULTILINE | re.IGNORECASE):
        anchor = re.sub(r"[^a-z]+", "-", heading.group(1).lower())
        said.append(f"- The experiment's own: [{heading.group(1)}]({readme}#{anchor}).")
    if not said:
        return "None is known."
    return "\n".join(
        ["What docstrings and settings say of the paper and of released code:", "", *said]
    )


def _settings_rows(method: Method) -> list[list[str]]:
    return [
        [f"`{s.name}`", f"`{s.default}`" if s.default else "", s.meaning] for s in settings(method)
    ]


def index() -> str:
    """The list of methods by family."""
    parts = ["# Methods", "Every method of the registry, by family; each has a page."]
    for family in dict.fromkeys(m.family for m in METHODS.values()):
        rows = [
            [f"[{m.title}]({name}.md)", paper(m), m.verified or "its equations"]
            for name, m in METHODS.items()
            if m.family == family
        ]
        parts += [
            f"## {family_title(family)}",
            table(["method", "paper", "verified against"], rows),
        ]
    return "\n\n".join(parts) + "\n"
