"""`python -m experiments.benchmarks.latency`."""

import tyro

from experiments.benchmarks.latency.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.latency"))
