"""Command line of the AVG experiment.  `--help` of every command imports no JAX."""

import json
from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.avg.config import AVGRun, Cost, Search
from experiments.avg.presets import DATA, preset
from experiments.common.commands import dispatch
from experiments.common.flags import peek, tables_command
from experiments.common.train import INTERRUPTED
from mmjax.data.io.files import atomic_write_text

PROGRAM = "python -m experiments.avg"
COMMANDS = """\
commands (each has its own --help):
  (none)      train towers, tokenizer and model; presets by --data
  search      pictures for words, by a trained run, as a page
  cost        time of a search as the gallery grows
  tables      write the tables of README.md from results/
"""
ARGUMENTS = "arguments.json"
"""In a run's folder: the flags that made it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns the exit status."""
    commands = {"search": _search, "cost": _cost, "tables": tables_command(_write_readme)}
    return dispatch(arguments, commands, _train, COMMANDS)


def parse_run(arguments: Sequence[str]) -> AVGRun:
    """Flags of the training command over the preset that --data names.

    Raises:
        ValueError: no such data set.
    """
    start = preset(peek(arguments, "--data", DATA[0]))
    about = f"Train two towers, a tokenizer and AVG.\n\n{COMMANDS}"
    return tyro.cli(AVGRun, args=arguments, default=start, prog=PROGRAM, description=about)


def _train(arguments: Sequence[str]) -> int:
    config = parse_run(arguments)
    from experiments.avg.run import run
    from mmjax.training.parallel import init
    from mmjax.training.signals import Interrupted

    init()
    if config.workdir is not None:
        config.workdir.mkdir(parents=True, exist_ok=True)
        atomic_write_text(config.workdir / ARGUMENTS, json.dumps(list(arguments)))
    try:
        records = run(config)
    except Interrupted as stop:
        print(stop, flush=True)
        return INTERRUPTED
    columns = [f"recall@{k}" for k in config.ks]
    print("\nTest" + "".join(f"{c:>12}" for c in columns))
    for name, record in records.items():
        print(f"{name:16s}" + "".join(f"{100 * record.mean(c):12.2f}" for c in columns))
        if "collisions" in record.test:
            print(f"  collisions {100 * record.mean('collisions'):.2f} % of the pool")
        if config.workdir is not None:
            record.save(config.workdir / f"{name}.json")
    return 0


def _search(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Search, args=arguments, prog=f"{PROGRAM} search")
    path = flags.workdir / ARGUMENTS
    if not path.is_file():
        raise ValueError(f"{flags.workdir} holds no run: train one with --workdir {flags.workdir}")
    said = json.loads(path.read_text(encoding="utf-8"))
    from experiments.avg.search import search

    page = flags.out or flags.workdir / "search.html"
    for method, titles in search(parse_run(said), flags.workdir, flags.query, flags.k, page):
        print(f"{method}: {', '.join(titles)}")
    print(f"page: {page}")
    return 0


def _cost(arguments: Sequence[str]) -> int:
    flags = tyro.cli(Cost, args=arguments, prog=f"{PROGRAM} cost")
    from experiments.avg.cost import cost

    print(f"picture: {cost(flags)}")
    return 0


def _write_readme() -> Path:
    from experiments.avg.tables import write_readme

    return write_readme()
