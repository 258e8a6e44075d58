"""`python -m experiments.benchmarks.epochs`."""

import tyro

from experiments.benchmarks.epochs.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.epochs"))
