"""Side-by-side measuring: interleaved rounds, medians, per-round ratios, and the JSON of a table.

A candidate is a function that runs once and returns its seconds. All candidates run in every
round, in a rotating order, so that a machine that slows down slows all of them; what is compared
is the ratio within a round. Candidates of another Python installation (PyTorch, say) run in a
process of their own (`peer`, `worker`), which answers with the seconds it measured itself. This
module imports neither JAX nor mmjax, so that such a process can use it (`peer_inputs`, `serve`).
"""

import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

Candidate = Callable[[], float]
ROOT = Path(__file__).resolve().parents[2]
# MKL and OpenMP threads keep a core busy for 200 ms after their work; the next one waits it out.
_SPIN_SECONDS = 0.3


@dataclass(frozen=True)
class Options:
    """Flags of every benchmark."""

    out: Path | None = None
    """Write the figures, the command, the commit and the versions to this JSON file."""
    rounds: int = 7
    """Rounds that count."""
    cpu_time: bool = False
    """Count CPU seconds instead of those that pass; for a busy machine without accelerator."""
    one_thread: bool = False
    """One thread a side."""


@dataclass(frozen=True)
class PeerOptions(Options):
    """Flags of a benchmark with a peer."""

    torch_python: str | None = None
    """Python with the peer's packages (default: this one, if it has them)."""


def clock(options: Any) -> Callable[[], float]:
    """The clock that `options.cpu_time` names: CPU seconds of all threads, or seconds that pass."""
    return time.process_time if options.cpu_time else time.perf_counter


def limit_threads(options: Options) -> None:
    """Where one thread is wanted, tell XLA so; call it before JAX starts its CPU client."""
    if options.one_thread:
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


def calibrated(
    run: Callable[[], Any],
    *,
    wait: Callable[[Any], Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Candidate:
    """A candidate that repeats `run` for some 50 ms per round."""
    once = timed(run, wait=wait, clock=clock)
    once()
    return timed(run, wait=wait, clock=clock, repeat=max(1, int(0.05 / max(once(), 1e-6))))


def interleaved(
    candidates: Mapping[str, Candidate],
    *,
    rounds: int = 11,
    warmup: int = 2,
) -> dict[str, list[float]]:
    """Seconds of every candidate in every round, after `warmup` rounds that are not kept."""
    names = list(candidates)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
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


def table(rows: Sequence[Row], baseline: str, note: Callable[[Row], str] | None = None) -> str:
    """The rows as aligned text; `note` gives the last column."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}}  {'median ms':>10}  {'best ms':>10}  {'speed-up':>9}   vs {baseline}"]
    for row in rows:
        lines.append(
            f"{row.name:{width}}  {row.median_ms:10.2f}  {row.best_ms:10.2f}  "
            f"{row.speedup:8.2f}x   {note(row) if note else ''}".rstrip()
        )
    return "\n".join(lines)


class Comparison(NamedTuple):
    """Candidates measured together."""

    baseline: str
    seconds: dict[str, list[float]]
    """Of every round, by candidate."""
    rows: list[Row]
    """Fastest first."""

    @property
    def speed_up(self) -> dict[str, float]:
        """Speed-up over the baseline by candidate."""
        return {row.name: row.speedup for row in self.rows}

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows for a JSON file."""
        return [row._asdict() for row in self.rows]


def compare(
    candidates: Mapping[str, Candidate],
    baseline: str | None = None,
    *,
    rounds: int,
    warmup: int = 1,
    title: str = "",
    note: Callable[[Row], str] | None = None,
) -> Comparison:
    """Measure candidates in interleaved rounds and print their table.

    Args:
        candidates: functions that run once and return seconds.
        baseline: the candidate that the others are compared with; by default the last one.
        rounds: rounds that count.
        warmup: rounds before them.
        title: a line above the table.
        note: the last column of the table.
    """
    baseline = list(candidates)[-1] if baseline is None else baseline
    seconds = interleaved(candidates, rounds=rounds, warmup=warmup)
    rows = summary(seconds, baseline)
    lines = [title] * bool(title) + [table(rows, baseline, note)]
    print("", *lines, sep="\n", flush=True)
    return Comparison(baseline, seconds, rows)


def temporary_mib(compiled: Any) -> float:
    """MiB that a compiled JAX program needs beside its inputs and results."""
    memory = compiled.memory_analysis()
    return 0.0 if memory is None else memory.temp_size_in_bytes / 2**20


def peak_rss_mib() -> float:
    """MiB of host memory that this process has held at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def record(options: Options, packages: Sequence[str] = ()) -> dict[str, Any]:
    """The head of a benchmark's JSON: `environment`, JAX's device, rounds and clock."""
    import jax  # not at the top: a peer's Python may have none

    return {
        **environment(("mmjax", "jax", "jaxlib", "numpy", *packages)),
        "device": jax.devices()[0].device_kind,
        "rounds": options.rounds,
        "clock": "CPU time" if options.cpu_time else "wall time",
        "one_thread": options.one_thread,
    }


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


def write(options: Options, content: Mapping[str, Any]) -> None:
    """Write a benchmark's JSON where `options.out` names a file."""
    if options.out is not None:
        write_json(options.out, content)


def serve(candidates: Mapping[str, Candidate], about: Mapping[str, Any]) -> None:
    """The other end of a `Worker`: announce the candidates, then time one per line of stdin."""
    print(json.dumps({"names": list(candidates), "about": dict(about)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(candidates[line.strip()]()), flush=True)


def peer_inputs() -> SimpleNamespace:
    """In a peer's process: the inputs that `peer` passed, and `cpu_time`."""
    return SimpleNamespace(**json.loads(sys.argv[1]))


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
def worker(python: str, module: str, *arguments: str, one_thread: bool = False) -> Iterator[Worker]:
    """Run ``python -m module arguments``, which calls `serve`, for the length of the block."""
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if one_thread else {}
    process = subprocess.Popen(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | single,
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


def peer_python(options: PeerOptions, *packages: str) -> str | None:
    """The Python of a peer: the one named, or this one if it has the packages."""
    if options.torch_python is None and all(map(importlib.util.find_spec, packages)):
        return sys.executable
    return options.torch_python


class Peer(NamedTuple):
    """A peer's candidates and its JSON; both empty where there is none."""

    candidates: Mapping[str, Candidate]
    about: Mapping[str, Any]


@contextmanager
def peer(
    options: PeerOptions, ours: str, packages: Sequence[str] = ("torch",), **inputs: Any
) -> Iterator[Peer]:
    """The process of a topic's `peer.py`, for the length of the block.

    Args:
        options: which Python, which clock, how many threads.
        ours: `__name__` of the topic's ``ours.py``, beside which ``peer.py`` stands.
        packages: modules that a Python must have to run it.
        inputs: what `peer_inputs` gives there; JSON values.
    """
    python = peer_python(options, *packages)
    if python is None:
        yield Peer({}, {})
        return
    module = ours.removesuffix("ours") + "peer"
    arguments = json.dumps(inputs | {"cpu_time": options.cpu_time})
    with worker(python, module, arguments, one_thread=options.one_thread) as process:
        yield Peer(process.candidates, process.about)
