"""Benchmarks at the sizes that their registry has for tests, without peers."""

import json

import pytest
import tyro

from experiments.benchmarks import harness
from experiments.benchmarks.parts import PARTS

EVERY = {"command", "commit", "python", "versions", "cpu", "cores", "device", "rounds", "clock"}


@pytest.fixture
def no_peer(monkeypatch):
    """As if no Python had the packages of the peers."""
    monkeypatch.setattr(harness, "peer_python", lambda *_: None)


@pytest.fixture
def run_tiny(no_peer, tmp_path, capsys):
    """A function that runs a topic's `main` at its tiny sizes and returns the JSON and the text."""

    def run(ours, *more):
        (part,) = [p for p in PARTS if f"experiments.benchmarks.{p.topic}.ours" == ours.__name__]
        assert tyro.cli(ours.Options, args=part.accelerator)
        out = tmp_path / "new" / "record.json"
        ours.main(tyro.cli(ours.Options, args=[*part.tiny, *more, "--out", str(out)]))
        record = json.loads(out.read_text())
        assert record.keys() >= EVERY
        return record, capsys.readouterr().out

    return run
