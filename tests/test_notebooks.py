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
OURS = ("mmjax", "experiments")

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


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS[:2]] == ["01_blocks.ipynb", "02_mig_gt.ipynb"]


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
def test_imports_exist_and_are_public(path):
    for cell in cells(path, "code"):
        for node in ast.walk(python(cell)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith(
                ("mmjax", "experiments")
            ):
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
