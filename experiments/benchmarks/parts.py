"""The registry of benchmarks: a line each, with its sizes on an accelerator and for tests."""

from typing import NamedTuple


class Part(NamedTuple):
    """A benchmark, and the flags of its command."""

    topic: str
    """Folder of experiments/benchmarks with ``ours.py``; its command takes `harness.Options`."""
    accelerator: tuple[str, ...] = ()
    """Flags for `make bench-gpu`: a minute at most on one accelerator, compilation included."""
    tiny: tuple[str, ...] = ()
    """Flags for `--tiny` and the tests: a few seconds on a CPU."""
    peer: bool = True
    """Whether there is a ``peer.py``, so that the command takes ``--torch-python``."""
    data: bool = False
    """Whether the command takes ``--data FOLDER`` with Amazon Baby's interactions."""


def flags(text: str) -> tuple[str, ...]:
    """The flags of a line; "_" stands for a space within one."""
    return tuple(word.replace("_", " ") for word in text.split())


PARTS: tuple[Part, ...] = (
    Part(
        "propagation",
        flags("--graphs baby large --rounds 5"),
        flags("--graphs tiny --rounds 1"),
        data=True,
    ),
    Part(
        "evaluation",
        flags("--rounds 5"),
        flags("--users 40 --items 60 --rounds 1"),
    ),
    Part(
        "mig_gt_epoch",
        flags("--rounds 5"),
        flags("--smoke --rounds 1"),
        data=True,
    ),
    Part(
        "recommenders",
        flags("--rounds 3"),
        flags("--data communities --models light_gcn --rounds 1"),
    ),
    Part(
        "fusion",
        flags("--rounds 5"),
        flags("--items 50 --widths 12 8 4 --meta-width 2 --rank 3 --ranks 1 --rounds 1"),
        peer=False,
    ),
    Part(
        "quantise",
        flags("--rounds 7"),
        flags("--batches 16 --levels 2 --codes 8 --width 4 --repeat 1 --rounds 1"),
    ),
    Part(
        "decode",
        flags("--catalogues 1M,_256 1M,_1024 --rounds 5"),
        flags("--catalogues tiny --queries 3 --beams 4 --length 3 --rounds 1"),
    ),
    Part(
        "latency",
        flags("--rounds 5"),
        flags("--models tiny --users 2 --items 50 --beams 12 --rounds 1"),
        peer=False,
    ),
    Part(
        "buckets",
        flags("--cases tuned,_20_items paper,_20_items --rounds 3"),
        flags("--data chains --cases tiny --windows 50 --batch-size 16 --rounds 1"),
        peer=False,
    ),
    Part(
        "encoders",
        flags("--repeat 10 --rounds 5"),
        flags("--sizes tiny --rounds 1"),
    ),
    Part(
        "incdsi",
        flags("--rounds 3"),
        flags("--documents 30 --width 8 --new 2 --rounds 1"),
    ),
    Part(
        "epochs",
        flags("--methods mig_gt light_gcn freedom mmgcn mgcn --rounds 3"),
        flags("--data communities --methods light_gcn --rounds 1"),
        peer=False,
    ),
)


def command(part: Part, extra: tuple[str, ...] = (), torch_python: str | None = None) -> list[str]:
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
