"""What the README shows is so: its example prints what it says, its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmjax.models.registry import METHODS, markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "BUILD.md", "CONTRIBUTING.md", "CHANGELOG.md"]


@pytest.mark.process
def test_the_example_prints_what_the_readme_says():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "print(" in block)
    said = [line.partition("  # ")[2] for line in code.splitlines() if line.startswith("print(")]
    home = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=home, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == said


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"`make ([a-z-]+)", (ROOT / page).read_text())
    assert set(named) <= set(targets)


def test_the_methods_are_those_of_the_registry():
    assert markdown() in (ROOT / "README.md").read_text()
    for method in METHODS.values():
        place = ROOT / "mmjax/models" / method.family / method.module
        assert place.is_dir() or place.with_suffix(".py").is_file()


def test_five_lines_are_shown():
    """`tests/test_wheel.py` trains by the same calls."""
    text = (ROOT / "README.md").read_text()
    for call in ("load(", "freedom.build(", "evaluator(", "fit(model, mmjax.pairs(", "evaluate("):
        assert f"mmjax.{call}" in text or f"mmjax.models.{call}" in text
