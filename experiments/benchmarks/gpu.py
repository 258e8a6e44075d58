"""Every part on one accelerator in under eight minutes, into one JSON file: `make bench-gpu`.

    python -m experiments.benchmarks.gpu [--parts NAME ...] [--tiny] [--out FILE]

The parts are those of the registry (`PARTS`), each a process of its own with a time limit, and
"tests", which runs the tests marked `gpu`. A part that fails or runs out of time is written down
with its error, and the others go on. The file is written anew after every part, so that a run that
is killed leaves what it has measured.

Float32 products are whole here (`JAX_DEFAULT_MATMUL_PRECISION=highest`, unless it is set), because
the parts compare the results of their candidates before they time them.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from experiments.benchmarks import harness
from experiments.benchmarks.parts import PARTS, chosen, command

TESTS = "tests"
NAMES = (TESTS, *(part.topic for part in PARTS))
_TEST_COMMAND = ["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
_NONE_COLLECTED = 5
"""Pytest's status where no test is marked."""
_PACKAGES = ("mmjax", "jax", "jaxlib", "jax-cuda12-plugin", "flax", "optax", "numpy")


@dataclass(frozen=True)
class Options:
    """Every part on one accelerator, each guarded, into one JSON file."""

    out: Path = Path("runs/bench_gpu.json")
    """JSON to write."""
    parts: tuple[str, ...] = ()
    """Which parts (default: all)."""
    tiny: bool = False
    """Sizes for a CPU and for tests: figures mean nothing."""
    part_seconds: float = 75.0
    """Time limit of a part."""
    total_seconds: float = 450.0
    """Time limit of all; parts that would begin later are left out."""
    torch_python: str | None = None
    """Python with the peers' packages; without it mmjax is measured alone."""


def environment(tiny: bool = False) -> dict[str, str]:
    """The variables of a part's process; at tiny sizes all the time is the compiler's."""
    defaults = {
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        # Some parts start a second process on the same device.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **({"XLA_FLAGS": "--xla_backend_optimization_level=0"} if tiny else {}),
    }
    return {**defaults, **os.environ, "PYTHONUNBUFFERED": "1"}


def accelerator() -> str | None:
    """The name, driver and memory of the GPU as its driver tells them; None without one."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def guarded(arguments: Sequence[str], seconds: float, *, tiny: bool = False) -> dict[str, Any]:
    """Run ``python arguments`` for so long at most: status, seconds and, after a failure, error.

    Standard output goes on to ours. When the time is up, the process ends with all that it
    started.
    """
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=harness.ROOT,
            env=environment(tiny),
            stderr=errors,
            start_new_session=True,
        )
        try:
            code = process.wait(max(seconds, 0.0))
            status = "ok" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            code, status = None, "timed out"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        result: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - start, 2)}
        if status != "ok":
            errors.seek(0)
            result |= {"exit": code, "error": errors.read()[-2000:].strip()}
    return result


def run_part(name: str, options: Options, seconds: float) -> dict[str, Any]:
    """A part's outcome, with the record of its command where it wrote one."""
    if name == TESTS:
        result = guarded(_TEST_COMMAND, seconds)
        if result.get("exit") == _NONE_COLLECTED:
            result |= {"status": "left out", "error": "no test is marked gpu"}
        return result
    (part,) = [part for part in PARTS if part.topic == name]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "record.json"
        flags = (*(part.tiny if options.tiny else part.accelerator), "--out", str(out))
        result = guarded(command(part, flags, options.torch_python), seconds, tiny=options.tiny)
        if out.exists():
            result["record"] = json.loads(out.read_text())
    return result


def main(options: Options) -> int:
    """Run the parts and write the file; 0 if no part failed or ran out of time, else 1."""
    names = chosen(options.parts, NAMES)
    start, parts = time.monotonic(), {}
    content: dict[str, Any] = {
        **harness.environment(_PACKAGES),
        "accelerator": accelerator(),
        "device": None,
        "tiny": options.tiny,
        "matmul_precision": environment()["JAX_DEFAULT_MATMUL_PRECISION"],
        "parts": parts,
    }
    for number, name in enumerate(names, 1):
        passed = time.monotonic() - start
        print(f"\n== {name} ({number} of {len(names)}, {passed:.0f} s so far)", flush=True)
        left = min(options.part_seconds, options.total_seconds - passed)
        if left > 0:
            parts[name] = result = run_part(name, options, left)
        else:
            parts[name] = result = {"status": "left out", "seconds": 0.0, "error": "time is up"}
        content["device"] = content["device"] or result.get("record", {}).get("device")
        content["seconds"] = round(time.monotonic() - start, 2)
        harness.write_json(options.out, content)
        last = result.get("error", "").splitlines()[-1:]
        print("; ".join([f"{name}: {result['status']}, {result['seconds']} s", *last]), flush=True)
    print(f"\nwrote {options.out}", flush=True)
    return int(any(part["status"] in ("failed", "timed out") for part in parts.values()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # `guarded` then ends its process
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.benchmarks.gpu")))
