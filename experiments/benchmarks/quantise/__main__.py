"""`python -m experiments.benchmarks.quantise`."""

import tyro

from experiments.benchmarks.quantise.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.quantise"))
