"""What each part of MMGRec is worth: the same seeds without it, compared in pairs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.config import override
from experiments.mmgrec.presets import preset

if TYPE_CHECKING:
    from mmjax.training.records import Record

FORMS: dict[str, dict[str, Any]] = {
    "full": {},
    "random_ids": {"ids": "random"},
    "feature_ids": {"ids": "features"},
    "no_relation": {"generator.model.relation": False},
    "no_graph": {"ids": "features", "vectors": "features"},
    "target_in_source": {"generator.optim.source_excludes_target": False},
    "joint": {"joint": True, "quantiser.model.normalise": "none"},
}
NAMES = {
    "full": "MMGRec",
    "random_ids": "ids dealt at random",
    "feature_ids": "ids of the raw features",
    "no_relation": "no relation term",
    "no_graph": "no graph stage at all",
    "target_in_source": "targets stay in the sources",
    "joint": "graph and quantiser at once",
}


@dataclass(frozen=True)
class Ablate:
    """Flags of the `ablate` command."""

    workdir: Path
    """Folder of the runs; the same command on it goes on where it stopped."""
    data: str = "lastfm_2k"
    """Data set."""
    seeds: int = 3
    """Seeds of every form, counted up from 0."""
    forms: tuple[str, ...] = tuple(FORMS)
    """Forms, keys of `experiments.mmgrec.ablate.FORMS`."""
    epochs: int | None = None
    """Most epochs of every form's generator; default is that of the preset."""
    smoke: bool = False
    """Tiny models; figures mean nothing."""
    data_dir: Path | None = None
    """Where prepared data are cached."""


def ablate(flags: Ablate) -> str:
    """Train every form on the same seeds and return the table, the whole as the reference.

    Forms that read the same graph share its training. A record a form is kept beside the runs.

    Raises:
        ValueError: no such form.
        Interrupted: a signal came.
    """
    from experiments.common.problem import load_data
    from experiments.common.sweep import remove_checkpoints
    from experiments.mmgrec.run import run
    from experiments.mmgrec.stages import graph_run
    from mmjax.training.records import load_record
    from mmjax.viz import tables

    if unknown := [form for form in flags.forms if form not in FORMS]:
        raise ValueError(f"--forms {' '.join(unknown)}: choose from {', '.join(FORMS)}")
    start = quiet(preset(flags.data))
    start = dataclasses.replace(
        start, seeds=flags.seeds, smoke=flags.smoke, data_dir=flags.data_dir
    )
    if flags.epochs is not None:
        start = override(start, {"generator.fit.epochs": flags.epochs})
    data, records = load_data(graph_run(start)), {}
    for form in flags.forms:
        config = override(start, FORMS[form])
        folder = flags.workdir / data.name / form
        path = folder / "record.json"
        if not path.exists():
            graphs = None if config.joint else flags.workdir / data.name / "graph"
            outcome = run(dataclasses.replace(config, workdir=folder), data=data, graphs=graphs)
            outcome.record.save(path)
            remove_checkpoints(folder)
        records[form] = load_record(path)
        print(f"{form:16s} test recall@10 {records[form].mean('recall@10'):.4f}", flush=True)
    return tables.to_text(table(records))


def quiet(config: Any) -> Any:
    """The same run without bars and TensorBoard events."""
    stages = {
        name: dataclasses.replace(
            stage, fit=dataclasses.replace(stage.fit, quiet=True, tensorboard=False)
        )
        for name in ("graph", "quantiser", "generator")
        for stage in [getattr(config, name)]
    }
    return dataclasses.replace(config, **stages)


def table(records: "dict[str, Record]") -> Any:
    """The forms side by side, each tested against the whole over the seeds they share."""
    from experiments.common.report import METRICS, record_row
    from mmjax.viz import tables

    rows = [
        dataclasses.replace(record_row(records[form]), name=NAMES[form])
        for form in FORMS
        if form in records
    ]
    return tables.leaderboard(rows, METRICS, reference=NAMES["full"] if "full" in records else None)
