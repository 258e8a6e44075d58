"""`python -m experiments.benchmarks.buckets`."""

import tyro

from experiments.benchmarks.buckets.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.buckets"))
