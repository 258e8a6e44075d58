"""MetaMMF: train, recommend, claim, depth, tables."""

from pathlib import Path

from experiments.common import comparison, readme
from experiments.common.config import Run
from experiments.common.interactions import recommend
from experiments.meta_mmf import analysis
from experiments.meta_mmf.analysis import claim, depth
from experiments.meta_mmf.config import preset

__all__ = ["claim", "depth", "recommend", "tables", "train"]


def train(run: Run) -> None:
    """Train MetaMMF and the baselines, print the table, write records and the report."""
    comparison.train(run, preset)


def tables() -> Path:
    """Fill README.md."""
    return readme.fill(analysis.FOLDER, analysis.bodies())
