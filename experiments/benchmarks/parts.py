"""The registry of benchmarks: a line each, with its sizes on an accelerator and for tests."""

from collections.abc import Sequence
from shlex import split
from typing import NamedTuple


class Part(NamedTuple):
    """A benchmark, and the flags of its command."""

    topic: str
    """Folder of experiments/benchmarks with ``ours.py``; its command takes `harness.Options`."""
    accelerator: Sequence[str] = ()
    """Flags for `make bench-gpu`: a minute at most on one accelerator, compilation included."""
    tiny: Sequence[str] = ()
    """Flags for `--tiny` and the tests: a few seconds on a CPU."""
    peer: bool = True
    """Whether there is a ``peer.py``, so that the command takes ``--torch-python``."""
    data: bool = False
    """Whether the command takes ``--data FOLDER`` with Amazon Baby's interactions."""


PARTS: tuple[Part, ...] = (
    Part(
        "propagation",
        split("--graphs baby large --rounds 5"),
        split("--graphs tiny --rounds 1"),
        data=True,
    ),
    Part(
        "evaluation",
        split("--rounds 5"),
        split("--users 40 --items 60 --rounds 1"),
    ),
    Part(
        "mig_gt_epoch",
        split("--rounds 5"),
        split("--smoke --rounds 1"),
        data=True,
    ),
    Part(
        "recommenders",
        split("--rounds 3"),
        split("--data communities --models light_gcn --rounds 1"),
    ),
    Part(
        "fusion",
        split("--rounds 5"),
        split("--items 50 --widths 12 8 4 --meta-width 2 --rank 3 --ranks 1 --rounds 1"),
        peer=False,
    ),
    Part(
        "quantise",
        split("--rounds 7"),
        split("--batches 16 --levels 2 --codes 8 --width 4 --repeat 1 --rounds 1"),
    ),
    Part(
        "decode",
        split("--catalogues '1M, 256' '1M, 1024' --rounds 5"),
        split("--catalogues tiny --queries 3 --beams 4 --length 3 --rounds 1"),
    ),
    Part(
        "latency",
        split("--rounds 5"),
        split("--models tiny --users 2 --items 50 --beams 12 --rounds 1"),
        peer=False,
    ),
    Part(
        "buckets",
        split("--cases 'tuned, 20 items' 'paper, 20 items' --rounds 3"),
        split("--data chains --cases tiny --windows 30 --batch-size 8 --rounds 1"),
        peer=False,
    ),
    Part(
        "encoders",
        split("--repeat 10 --rounds 5"),
        split("--sizes tiny --rounds 1"),
    ),
    Part(
        "incdsi",
        split("--rounds 3"),
        split("--documents 30 --width 8 --new 2 --rounds 1"),
    ),
    Part(
        "epochs",
        split("--methods mig_gt light_gcn freedom mmgcn mgcn --rounds 3"),
        split("--data communities --methods light_gcn --rounds 1"),
        peer=False,
    ),
)


def command(part: Part, extra: Sequence[str] = (), torch_python: str | None = None) -> list[str]:
    """Arguments after ``python`` that run a part with flags of its own."""
    peer = ("--torch-python", torch_python) if torch_python and part.peer else ()
    return ["-m", f"experiments.benchmarks.{part.topic}", *extra, *peer]


def chosen(names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names, in the order of `known`; all of them where none is given.

    Raises:
        ValueError: a name is not known.
    """
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"--parts {unknown[0]}: choose from {', '.join(known)}")
    return tuple(name for name in known if name in names) or known
