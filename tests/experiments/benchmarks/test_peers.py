"""Every benchmark beside its peer, at tiny sizes; the peers check the results of both sides."""

import json
import subprocess
import sys

import pytest

from experiments.benchmarks.harness import ROOT
from experiments.benchmarks.parts import PARTS, command

pytestmark = [pytest.mark.parity, pytest.mark.process]


@pytest.mark.parametrize("part", [p for p in PARTS if p.peer], ids=lambda part: part.topic)
def test_beside_its_peer(part, tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "record.json"
    flags = (*part.tiny, "--one-thread", "--out", str(out))
    subprocess.run([sys.executable, *command(part, flags)], cwd=ROOT, check=True, timeout=300)
    record = json.loads(out.read_text())
    assert record["one_thread"]
    text = json.dumps(record)
    assert any(name in text for name in ('"torch', '"transformers"', '"L-BFGS"'))
