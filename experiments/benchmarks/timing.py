"""Side-by-side timing: interleaved rounds, medians, per-round ratios, and the JSON behind a table.

A candidate is a function that runs once and returns its seconds. All candidates run in every
round, in a rotating order, so that a machine that slows down slows all of them; what is compared
is the ratio within a round. Candidates of another Python installation (PyTorch, say) run in a
process of their own (`Worker`), which answers with the seconds it measured itself. This module
needs neither JAX nor mmjax, so that such a process can import it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Candidate = Callable[[], float]
ROOT = Path(__file__).resolve().parents[2]
# MKL and OpenMP threads keep a core busy for 200 ms after their work; the next one waits it out.
_SPIN_SECONDS = 0.3


How = Any
"""Flags `cpu_time` and `one_thread`, by which figures hold on a machine with other work to do."""


def add_how(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of `How`."""
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU seconds, not the clock's"
    )
    parser.add_argument("--one-thread", action="store_true", help="one thread a side")


def passed_on(how: How) -> list[str]:
    """The same flags for a peer's process."""
    return ["--cpu-time"] * how.cpu_time + ["--one-thread"] * how.one_thread


def described(how: How) -> dict[str, Any]:
    """The same flags for the JSON of a benchmark."""
    return {"clock": "CPU time" if how.cpu_time else "wall time", "one_thread": how.one_thread}


def clock(how: How) -> Callable[[], float]:
    """What seconds are counted by."""
    return time.process_time if how.cpu_time else time.perf_counter


def limit_threads(how: How) -> None:
    """Where one thread is asked for, tell XLA so; call it before JAX starts its CPU client."""
    if how.one_thread:
        single = "--xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {single}".strip()


def timed(
    run: Callable[[], Any],
    *,
    repeat: int = 1,
    wait: Callable[[Any], Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Candidate:
    """A candidate from a function: mean seconds of `repeat` calls, each awaited by `wait`.

    `wait` is `jax.block_until_ready` for JAX functions; None if the call returns when done. The
    clock `time.process_time` counts the CPU seconds of all threads, which on a busy machine are
    the fairer ones; work on an accelerator they do not see.
    """

    def candidate() -> float:
        start = clock()
        for _ in range(repeat):
            result = run()
            if wait is not None:
                wait(result)
        return (clock() - start) / repeat

    return candidate


def interleaved(
    candidates: Mapping[str, Candidate],
    *,
    rounds: int = 11,
    warmup: int = 2,
    progress: Callable[[str], None] | None = None,
) -> dict[str, list[float]]:
    """Seconds of every candidate in every round, after `warmup` rounds that are not kept."""
    names = list(candidates)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        if progress is not None:
            progress(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up")
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds = candidates[name]()
            if number >= 0:
                samples[name].append(seconds)
    return samples


class Row(NamedTuple):
    """What a table says of one candidate."""

    name: str
    median_ms: float
    best_ms: float
    speedup: float
    """Median over rounds of the baseline's seconds over this candidate's; above 1 is faster."""


def summary(samples: Mapping[str, Sequence[float]], baseline: str) -> list[Row]:
    """One row a candidate, fastest first."""
    base = np.asarray(samples[baseline])
    rows = [
        Row(
            name,
            float(np.median(seconds)) * 1e3,
            float(np.min(seconds)) * 1e3,
            float(np.median(base / np.asarray(seconds))),
        )
        for name, seconds in samples.items()
    ]
    return sorted(rows, key=lambda row: row.median_ms)


def table(rows: Sequence[Row], baseline: str, notes: Mapping[str, str] | None = None) -> str:
    """The rows as aligned text; `notes` adds a last column by name."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}}  {'median ms':>10}  {'best ms':>10}  {'speed-up':>9}   vs {baseline}"]
    for row in rows:
        note = (notes or {}).get(row.name, "")
        lines.append(
            f"{row.name:{width}}  {row.median_ms:10.2f}  {row.best_ms:10.2f}  "
            f"{row.speedup:8.2f}x   {note}".rstrip()
        )
    return "\n".join(lines)


def environment(packages: Sequence[str] = ("jax", "jaxlib", "numpy")) -> dict[str, Any]:
    """Command, commit, machine and versions, for the JSON of a benchmark.

    `commit` ends in "+" when tracked files differ from it and is None outside a checkout.
    """
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "command": _command(),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": versions,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _command() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = f"-m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    return " ".join(["python", module, *sys.argv[1:]])


def _commit() -> str | None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{os.getpid()}-{target.name}")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=False) + "\n")
    os.replace(temporary, target)


def serve(candidates: Mapping[str, Candidate], about: Mapping[str, Any]) -> None:
    """The other end of a `Worker`: announce the candidates, then time one per line of stdin."""
    print(json.dumps({"names": list(candidates), "about": dict(about)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(candidates[line.strip()]()), flush=True)


class Worker:
    """Candidates that live in another Python process; made by `worker`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        hello = self._read()
        self.about: dict[str, Any] = hello["about"]
        self.candidates: dict[str, Candidate] = {
            name: lambda name=name: self._time(name) for name in hello["names"]
        }

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the benchmark's second process ended (exit {self._process.wait()}); "
                "its own message is above"
            )
        return json.loads(line)

    def _time(self, name: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        seconds = self._read()
        time.sleep(_SPIN_SECONDS)
        return seconds


@contextmanager
def worker(python: str, module: str, *arguments: str) -> Iterator[Worker]:
    """Run ``python -m module arguments``, which calls `serve`, for the length of the block."""
    process = subprocess.Popen(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Worker(process)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
