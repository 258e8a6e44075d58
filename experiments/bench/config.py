"""The flags of the bench.  Imports no JAX."""

from dataclasses import dataclass
from pathlib import Path

from experiments.common.methods import METHODS


@dataclass(frozen=True)
class Bench:
    """Which methods meet on which data."""

    data: tuple[str, ...] = ("lastfm_2k",)
    """Data sets, or folders in MMRec's format."""
    models: tuple[str, ...] = tuple(METHODS)
    """Methods."""
    seeds: int = 5
    """Seeds of every method, counted up from 0; the same for all, so that they pair up."""
    grid: bool = True
    """Choose among the points of each method's grid on validation first, with seed 0; False
    takes the first point."""
    reference: str = ""
    """Method that the others are tested against in the table; none names the best one."""
    fixed: tuple[str, ...] = ()
    """Fields set the same for all methods, such as fit.epochs=50."""
    together: bool = False
    """Train the seeds of a method in one program (vmapped) instead of one after the other."""
    smoke: bool = False
    """Tiny models for a few epochs on the synthetic communities; figures mean nothing."""
    devices: int | None = None
    """Devices to train on; default all."""
    workdir: Path = Path("runs/bench")
    """Folder of the bench; the same command on it goes on where it stopped."""
    data_dir: Path | None = None
    """Where prepared data are cached."""
    manual_dir: Path | None = None
    """Where data sets that cannot be shipped were put by hand."""
