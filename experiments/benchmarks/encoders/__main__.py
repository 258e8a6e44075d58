"""`python -m experiments.benchmarks.encoders`."""

import tyro

from experiments.benchmarks.encoders.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.encoders"))
