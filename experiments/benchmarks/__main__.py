"""`python -m experiments.benchmarks`: every benchmark, one after the other.

    python -m experiments.benchmarks tables
    python -m experiments.benchmarks [--data FOLDER] [--torch-python PATH] [--out FOLDER]

Ratios are measured in one run, with the peers in alternating rounds. PyTorch takes part when this
Python has it, or through the one that --torch-python names.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from experiments.benchmarks.tables import write_readme

NAMES = (
    "propagation",
    "evaluation",
    "mig_gt_epoch",
    "recommenders",
    "fusion",
    "quantize",
    "decode",
    "latency",
    "buckets",
    "encoders",
    "incdsi",
)
WITH_DATA = ("propagation", "mig_gt_epoch")
ALONE = ("fusion", "latency", "buckets")
"""Without a peer."""
PEER_ONLY = ("encoders",)
"""Left out where there is no peer, which makes the weights."""


def main() -> int:
    """Run all benchmarks; the status is that of the first one that fails, else 0."""
    if sys.argv[1:] == ["tables"]:
        print(f"wrote {write_readme()}")
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch-python", help="Python that has PyTorch")
    parser.add_argument("--data", help="folder with interactions.npz of Baby, else one like it")
    parser.add_argument("--out", type=Path, help="folder for one JSON file a benchmark")
    flags = parser.parse_args()
    for name in NAMES:
        if name in PEER_ONLY and not flags.torch_python:
            continue
        command = [sys.executable, "-m", f"experiments.benchmarks.{name}"]
        if flags.torch_python and name not in ALONE:
            command += ["--torch-python", flags.torch_python]
        if flags.data and name in WITH_DATA:
            command += ["--data", flags.data]
        if flags.out:
            command += ["--out", str(flags.out / f"{name}.json")]
        print(f"\n== {name}", flush=True)
        status = subprocess.run(command).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
