"""Studies of MIG-GT: the sweep of hop counts per modality and its heat map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class HopSweep:
    """Flags of the `hops` command."""

    workdir: Path
    """Folder of the sweep; the same command on it goes on where it stopped."""
    data: str = "lastfm_2k"
    """Data set."""
    first: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Hop counts of the first modality; -1 leaves it out."""
    second: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Hop counts of the second modality."""
    id_hops: tuple[int, ...] = ()
    """Hop counts of the id embeddings, a panel each; without any, the preset's."""
    fixed: tuple[str, ...] = ()
    """Fields set the same in all trials, such as fit.epochs=60."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Seeds per cell."""
    metric: str = "recall@20"
    """Validation metric that is drawn."""
    out: Path | None = None
    """Picture to write (.png, a .csv beside it); default hops.png in the workdir."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""


def draw_hops(flags: HopSweep) -> Path:
    """Run or resume the grid and draw it; returns the picture's path.

    Raises:
        ValueError: the preset of the data set does not have two modalities.
    """
    from experiments.common.sweep import Sweep, base_run, sweep
    from mmjax.viz.files import save
    from mmjax.viz.heatmap import grid_rows, heat_map_panels, metric_grid

    pairs = ",".join(f"[{a},{b}]" for a in flags.first for b in flags.second)
    settings: dict[str, Any] = {
        name: getattr(flags, name) for name in ("data", "fixed", "data_dir", "manual_dir")
    }
    plain = Sweep(flags.workdir, (), **settings)
    model = base_run(plain).model
    if len(model.modalities) != 2:
        raise ValueError(
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
        )
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


def hop_name(hops: int) -> str:
    """A hop count as it stands in the figure: -1 leaves the modality out."""
    return "off" if hops < 0 else str(hops)
