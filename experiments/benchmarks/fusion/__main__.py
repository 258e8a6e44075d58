"""`python -m experiments.benchmarks.fusion`."""

import tyro

from experiments.benchmarks.fusion.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.fusion"))
