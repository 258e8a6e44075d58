"""The figure of MIG-GT's hop counts."""

import csv

from experiments.mig_gt import analysis
from experiments.mig_gt.analysis import hop_name, hops
from experiments.mig_gt.config import Hops


def test_hops_that_leave_a_modality_out_are_off():
    assert [hop_name(n) for n in (-1, 0, 3)] == ["off", "0", "3"]


def test_the_sweep_is_drawn_with_its_numbers(tmp_path, monkeypatch):
    grids = []

    def trained(flags, preset):
        grids.append(flags.grid)
        cells = [((-1, 0), 0.20), ((-1, 1), 0.22), ((2, 0), 0.30), ((2, 1), 0.31)]
        return [
            {"set": {"model.id_hops": 4, "model.hops": counts}, "recall@20": value, "std": 0.01}
            for counts, value in cells
        ]

    monkeypatch.setattr(analysis, "sweep", trained)
    path = hops(Hops(tmp_path, first=(-1, 2), second=(0, 1), id_hops=(4,)))
    assert path == tmp_path / "hops.png" and path.read_bytes().startswith(b"\x89PNG")
    assert grids == [("model.id_hops=4", "model.hops=[-1,0],[-1,1],[2,0],[2,1]")]
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert [row["text"] for row in rows] == ["-1", "-1", "2", "2"]
    assert [float(row["recall@20"]) for row in rows] == [0.20, 0.22, 0.30, 0.31]
