"""Does item-specific fusion beat static fusion on real data?  Paired over seeds, equal grids."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.meta_mmf.presets import FORMS, preset

if TYPE_CHECKING:
    from mmjax.training.records import Record

RATES = (1e-3, 5e-3, 1e-2)
"""Learning rates that every form tries on validation with seed 0."""
NAMES = {"none": "static", "cp": "item-specific, CP", "full": "item-specific, full tensor"}


@dataclass(frozen=True)
class Claim:
    """Flags of the `claim` command."""

    workdir: Path
    """Folder of the runs; the same command on it goes on where it stopped."""
    data: str = "lastfm_2k"
    """Data set."""
    seeds: int = 5
    """Seeds, counted up from 0."""
    forms: tuple[str, ...] = FORMS
    """Kinds of item-specific weights; none is static fusion."""
    head: str = "gcn"
    """What scores the vectors: mf or gcn."""
    data_dir: Path | None = None
    """Where prepared data are cached."""


def claim(flags: Claim) -> str:
    """Train every form and return the table of test figures, static fusion as the reference."""
    from experiments.common.problem import load_data
    from experiments.common.run import run as run_one
    from experiments.common.sweep import remove_checkpoints, trial
    from mmjax.training.records import load_record
    from mmjax.viz import tables

    start = preset(flags.data)
    quiet = dataclasses.replace(start.fit, quiet=True, tensorboard=False)
    start = dataclasses.replace(start, fit=quiet, data_dir=flags.data_dir)
    data = load_data(start)
    records = {}
    for form in flags.forms:
        model = dataclasses.replace(start.model, dynamic=form, head=flags.head)
        points = [
            dataclasses.replace(
                start, model=model, optim=dataclasses.replace(start.optim, learning_rate=rate)
            )
            for rate in RATES
        ]
        folder = flags.workdir / data.name / flags.head / form
        chosen = max(points, key=lambda p: trial(p, data, folder, "recall@20")["recall@20"])
        run = dataclasses.replace(chosen, seeds=flags.seeds)
        path = folder / run.digest() / "record.json"
        if not path.exists():
            outcome = run_one(dataclasses.replace(run, workdir=path.parent), data=data)
            outcome.record.save(path)
            remove_checkpoints(path.parent)
        records[form] = load_record(path)
        records[form].save(flags.workdir / f"{data.name}_{flags.head}" / f"{form}.json")
    return tables.to_text(table(records))


def table(records: "dict[str, Record]"):
    """The forms side by side, each tested against static fusion over the seeds they share."""
    from experiments.common.report import METRICS, record_row
    from mmjax.viz import tables

    rows = [
        dataclasses.replace(
            record_row(records[form]),
            name=NAMES[form],
            note=f"{records[form].parameters:,} parameters, step "
            f"{records[form].config['optim']['learning_rate']:g}",
        )
        for form in FORMS
        if form in records
    ]
    return tables.leaderboard(rows, METRICS, reference=NAMES["none"] if "none" in records else None)
