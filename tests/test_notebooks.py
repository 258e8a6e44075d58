"""Notebooks: short, without leftovers, executable from top to bottom."""

import ast
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COLAB = "https://colab.research.google.com/github/mmjax/mmjax/blob/main/notebooks/"
BYTES = 150_000
PAPERS = ("mig_gt", "ad_drl", "meta_mmf", "mmgrec", "prompt_dsi", "avg", "tiger")
FOUND = "## What was found here"

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def python(cell):
    """The Python of a cell, its shell lines and magics left out."""
    kept = [re.sub(r"^(\s*)[!%].*", r"\1pass", line) for line in source(cell).splitlines()]
    return ast.parse("\n".join(kept))


def test_each_has_a_number_of_its_own():
    numbers = [int(path.stem.partition("_")[0]) for path in NOTEBOOKS]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_has_a_notebook_that_names_it(paper):
    (path,) = (path for path in NOTEBOOKS if path.stem.partition("_")[2] == paper)
    readme = (ROOT / "experiments" / paper / "README.md").read_text(encoding="utf-8")
    (published,) = set(re.findall(r"arXiv (\d{4}\.\d{5})", readme.partition("```")[0])) & set(
        re.findall(r"arXiv (\d{4}\.\d{5})", source(cells(path, "markdown")[0]))
    )
    assert published
    if paper != "mig_gt":  # which has the first tour of a trained model instead
        said = [source(cell) for cell in cells(path, "markdown")]
        assert any("## What the paper says" in text for text in said)
        assert any(FOUND in text for text in said)


def test_every_paper_with_an_experiment_is_listed():
    folders = {path.parent.name for path in (ROOT / "experiments").glob("*/README.md")}
    assert folders - {"bench", "benchmarks"} == set(PAPERS)


@each
def test_first_cell_finds_the_library_in_a_checkout_or_installs_it(path):
    first = cells(path, "code")[0]
    assert source(first) == source(cells(NOTEBOOKS[0], "code")[0])
    assert "git clone" in source(first) and "pip install" in source(first)


@each
def test_opens_with_a_link_to_colab_and_three_bullets(path):
    first = source(cells(path, "markdown")[0])
    assert f"]({COLAB}{path.name})" in first.splitlines()[0]
    assert sum(line.startswith("- ") for line in first.splitlines()) == 3


@each
def test_one_cell_of_capitals_holds_the_knobs(path):
    def names(cell):
        targets = [
            t
            for node in python(cell).body
            if isinstance(node, ast.Assign)
            for t in ast.walk(node.targets[0])
            if isinstance(t, ast.Name)
        ]
        return [t.id for t in targets if len(t.id) > 1]

    capitals = [cell for cell in cells(path, "code") if any(map(str.isupper, names(cell)))]
    assert len(capitals) == 1
    assert all(map(str.isupper, names(capitals[0])))


@each
def test_set_up_leaves_jax_alone(path):
    code = "\n".join(source(cell) for cell in cells(path, "code"))
    installs = [line for line in code.splitlines() if "pip install" in line]
    assert installs and all("-c keep-jax.txt" in line for line in installs)
    assert re.search(r"pip freeze \| grep .*\^jax.* > keep-jax\.txt", code)


@each
def test_only_the_last_picture_is_kept(path):
    *before, last = cells(path, "code")
    assert all(not cell["outputs"] for cell in before)
    assert [list(output["data"]) for output in last["outputs"]] == [["image/png"]]
    assert all(cell["execution_count"] is None for cell in [*before, last])
    assert path.stat().st_size < BYTES


@each
def test_needs_nothing_but_the_library(path):
    code = [node for cell in cells(path, "code") for node in ast.walk(python(cell))]
    modules = [node.module for node in code if isinstance(node, ast.ImportFrom)]
    modules += [a.name for node in code if isinstance(node, ast.Import) for a in node.names]
    assert modules and not [m for m in modules if m.partition(".")[0] == "experiments"]


@each
def test_imports_exist_and_are_public(path):
    for cell in cells(path, "code"):
        for node in ast.walk(python(cell)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("mmjax"):
                assert not any(part.startswith("_") for part in node.module.split("."))
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert not alias.name.startswith("_")
                    inner = f"{node.module}.{alias.name}"
                    assert hasattr(module, alias.name) or importlib.util.find_spec(inner)


@pytest.mark.slow
@pytest.mark.process
@each
def test_runs_from_top_to_bottom(path, tmp_path_factory):
    pytest.importorskip("nbclient", reason="pip install -e '.[notebooks]'")
    before = path.read_bytes()
    data = tmp_path_factory.getbasetemp() / "notebook-data"
    done = subprocess.run(
        [sys.executable, str(ROOT / "notebooks" / "execute.py"), path.name],
        env={**os.environ, "MMJAX_SMOKE": "1", "MMJAX_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_bytes() == before
