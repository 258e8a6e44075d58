"""`python -m experiments.bench tables`: the tables and pictures of README.md from results/."""

from pathlib import Path
from statistics import median

from experiments.bench.bench import METRIC, leaderboard
from experiments.benchmarks import tables as speed
from experiments.common import readme
from experiments.common.methods import title
from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record
from mmjax.viz import tables
from mmjax.viz.bars import bars
from mmjax.viz.files import save

FOLDER = Path(__file__).resolve().parent


def records(folder: Path = FOLDER / "results") -> dict[str, list[Record]]:
    """Records by data set."""
    return {
        data.name: [load_record(path) for path in sorted(data.glob("*.json"))]
        for data in sorted(folder.iterdir())
        if data.is_dir()
    }


def costs() -> str:
    """What an epoch costs on a machine that does nothing else."""
    rows = [
        (
            title(method),
            f"{median(found['seconds']):.2f}",
            f"{found['parameters'] / 1e6:.2f} M",
            f"{found['mib']:.0f}",
        )
        for method, found in sorted(
            speed.load("epochs")["methods"].items(), key=lambda item: median(item[1]["seconds"])
        )
    ]
    return speed.markdown(("method", "s/epoch", "parameters", "MiB"), rows)


def bodies() -> dict[str, str]:
    """Every leaderboard by its data set, and the costs."""
    boards = {name: tables.to_markdown(leaderboard(rows)) for name, rows in records().items()}
    return {**boards, "costs": costs()}


def write_readme() -> Path:
    """Fill README.md and draw a bar chart per data set beside the records."""
    path = FOLDER / "README.md"
    atomic_write_text(path, readme.filled(path.read_text(), bodies()))
    for name, rows in records().items():
        board = leaderboard(rows)
        save(bars(board, METRIC), FOLDER / "results" / f"{name}.png", tables.table_rows(board))
    return path
