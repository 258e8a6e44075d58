"""`python -m experiments.benchmarks.propagation`."""

import tyro

from experiments.benchmarks.propagation.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.propagation"))
