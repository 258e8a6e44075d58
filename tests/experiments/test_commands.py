"""Commands that the experiments' READMEs name are commands that they take."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def _commands():
    for page in sorted(EXPERIMENTS.glob("*/README.md")):
        cli = page.with_name("cli.py")
        if not cli.exists() or "def parse_run" not in cli.read_text():
            continue
        for block in re.findall(r"```(?:bash)?\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                program = f"python -m experiments.{page.parent.name}"
                words = shlex.split(line.removeprefix(program), comments=True)
                # Commands of their own are words; training has flags alone.
                if line.startswith(program) and (not words or words[0].startswith("--")):
                    yield pytest.param(page.parent.name, words, id=f"{program} {' '.join(words)}")


@pytest.mark.parametrize(("name", "words"), [*_commands()])
def test_training_commands_parse(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").touch()
    cli = importlib.import_module(f"experiments.{name}.cli")
    assert cli.parse_run(words) is not None
