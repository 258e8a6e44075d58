"""Commands that the experiments' READMEs name are commands that they take."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

from experiments.__main__ import described
from experiments.common.experiment import Experiment

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FOUND = described()


def _commands():
    """Every line of a README that runs an experiment, without comments."""
    for page in sorted(EXPERIMENTS.glob("*/README.md")):
        for block in re.findall(r"```(?:bash)?\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                program, _, rest = line.partition("python -m experiments.")[2].partition(" ")
                if program in FOUND:
                    words = shlex.split(rest, comments=True)
                    yield pytest.param(program, words, id=f"{page.parent.name}: {line}")


@pytest.mark.parametrize(("name", "words"), [*_commands()])
def test_commands_parse(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").touch()
    experiment = FOUND[name]
    if not words or words[0].startswith("--"):
        assert experiment.parse(words) is not None
        return
    flags = experiment.commands[words[0]].flags
    if flags is None:
        assert len(words) == 1
    else:
        assert tyro.cli(flags, args=words[1:]) is not None


@pytest.mark.parametrize("name", FOUND)
def test_every_command_has_its_function(name):
    experiment = FOUND[name]
    assert isinstance(experiment, Experiment) and experiment.name == name
    story = importlib.import_module(f"experiments.{name}.run")
    for command in ("train", *experiment.commands):
        assert callable(getattr(story, command, None))
    assert (
        {"train", *experiment.commands} <= {*story.__all__} if hasattr(story, "__all__") else True
    )


@pytest.mark.parametrize("name", FOUND)
def test_presets_exist_for_every_data_set_and_are_small_in_a_smoke_run(name):
    experiment = FOUND[name]
    for data in experiment.data:
        chosen = {"data": data} if "data" in experiment.named else {}
        assert experiment.settings(**chosen) is not None
        assert experiment.settings(small=True, **chosen) is not None


@pytest.mark.parametrize("name", FOUND)
def test_help_of_every_command(name, capsys):
    experiment = FOUND[name]
    for words in ([], *([command] for command in experiment.commands)):
        if words and experiment.commands[words[0]].flags is None:
            continue
        with pytest.raises(SystemExit) as stop:
            experiment.main([*words, "--help"], lambda: pytest.fail("the work began"))
        assert stop.value.code == 0
        assert experiment.program in capsys.readouterr().out
