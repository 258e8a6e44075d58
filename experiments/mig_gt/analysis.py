"""MIG-GT's own study, the heat map of hop counts, and the tables and pictures of README.md."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.common.readme import records
from experiments.common.report import METRICS, record_row
from experiments.common.sweep import Sweep, base_run, sweep
from experiments.mig_gt.config import Hops, preset
from mmjax.errors import UserError
from mmjax.training.records import Record
from mmjax.viz import tables
from mmjax.viz.bars import bars
from mmjax.viz.files import save
from mmjax.viz.heatmap import grid_rows, heat_map_panels, metric_grid

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
PUBLISHED = {
    # MMRec's leaderboard (enoche/MMRec), Baby, split `mmrec`.
    ("light_gcn", "amazon_baby"): dict(zip(METRICS, (0.0479, 0.0754, 0.0257, 0.0328), strict=True)),
    ("bpr_mf", "amazon_baby"): dict(zip(METRICS, (0.0357, 0.0575, 0.0192, 0.0249), strict=True)),
    # Table 1 of DiffMM (arXiv 2406.11781), TikTok, whose split is ours.
    ("light_gcn", "tiktok"): {"recall@20": 0.0653, "ndcg@20": 0.0282},
    ("bpr_mf", "tiktok"): {"recall@20": 0.0346, "ndcg@20": 0.0130},
}


def table(rows: dict[str, Record]) -> tables.Table:
    """A leaderboard; a row whose name goes on after the method ("mig_gt-paper") says so."""
    shown = []
    for stem, record in sorted(rows.items(), key=lambda item: -item[1].mean("recall@20")):
        paper = PUBLISHED.get((record.method, record.data), {})
        row = record_row(record, paper)
        variant = stem.removeprefix(record.method).strip("-").replace("_", " ")
        name = f"{row.name} ({variant})" if variant else row.name
        shown.append(dataclasses.replace(row, name=name, note=_note(record)))
    return tables.leaderboard(shown, METRICS)


def _note(record: Record) -> str:
    if not record.seeds:
        return "no training"
    minutes = record.seconds / 60 / len(record.seeds)
    return f"{len(record.seeds)} seeds, {minutes:.1f} min a seed"


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    return {name: tables.to_markdown(table(rows)) for name, rows in records(RESULTS).items()}


def draw_leaderboards() -> None:
    """A bar chart a table, beside the records."""
    for name, rows in records(RESULTS).items():
        board = table(rows)
        save(bars(board, "recall@20"), RESULTS / f"{name}.png", tables.table_rows(board))


def hops(flags: Hops) -> Path:
    """Run or resume the grid and draw it; returns the picture's path.

    Raises:
        UserError: the preset of the data set does not have two modalities.
    """
    pairs = ",".join(f"[{a},{b}]" for a in flags.first for b in flags.second)
    settings: dict[str, Any] = {
        name: getattr(flags, name) for name in ("data", "fixed", "data_dir", "manual_dir")
    }
    plain = Sweep(flags.workdir, (), **settings)
    model = base_run(plain, preset).model
    if len(model.modalities) != 2:
        raise UserError(
            f"the heat map needs two modalities, {flags.data} is set to {model.modalities}; "
            'choose two with --fixed \'model.modalities="a","b"\''
        )
    ids = flags.id_hops or (model.id_hops,)
    rows = sweep(
        Sweep(
            flags.workdir,
            (f"model.id_hops={','.join(map(str, ids))}", f"model.hops={pairs}"),
            seed=flags.seed,
            seeds=flags.seeds,
            metric=flags.metric,
            **settings,
        ),
        preset,
    )
    first, second = model.modalities
    records = [
        {
            "id": row["set"]["model.id_hops"],
            first: row["set"]["model.hops"][0],
            second: row["set"]["model.hops"][1],
            flags.metric: row[flags.metric],
        }
        for row in rows
    ]
    names = {"row": first, "column": second, "metric": flags.metric, "panel": "id"}
    grid = metric_grid(records, **names)
    noise = 2 * max(row["std"] for row in rows)
    axes = heat_map_panels(
        grid,
        row_label=f"{first} hops",
        column_label=f"{second} hops",
        panel_label="id hops",
        setting_name=hop_name,
        noise=noise,
    )
    path = flags.out or flags.workdir / "hops.png"
    save(axes[0], path, grid_rows(grid, **names))
    return path


def hop_name(count: int) -> str:
    """A hop count as it stands in the figure: -1 leaves the modality out."""
    return "off" if count < 0 else str(count)
