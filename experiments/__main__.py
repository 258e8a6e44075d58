"""`python -m experiments`: which experiments there are, their data sets and their state."""

import json
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent


class Experiment(NamedTuple):
    """A row of the list."""

    name: str
    title: str
    data: tuple[str, ...]
    results: int


def experiments() -> list[Experiment]:
    """Every folder with a command of its own, with its data sets and recorded results."""
    found = []
    for folder in sorted(ROOT.iterdir()):
        if not (folder / "presets.py").is_file():
            continue
        module = import_module(f"experiments.{folder.name}")
        presets = import_module(f"experiments.{folder.name}.presets")
        title = (module.__doc__ or "").split(";")[0].strip()
        records = [p for p in folder.glob("results/*/*.json") if json.loads(p.read_text())]
        found.append(Experiment(folder.name, title, presets.DATA, len(records)))
    return found


def main() -> None:
    """Print the list."""
    for e in experiments():
        print(f"{e.name}: {e.title}")
        print(f"  data     {', '.join(e.data)}")
        print(f"  results  {e.results} records; tables in experiments/{e.name}/README.md")
        print(f"  run      python -m experiments.{e.name} --help\n")


if __name__ == "__main__":
    main()
