"""`python -m experiments.benchmarks.evaluation`."""

import tyro

from experiments.benchmarks.evaluation.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.evaluation"))
