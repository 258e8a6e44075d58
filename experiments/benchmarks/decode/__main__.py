"""`python -m experiments.benchmarks.decode`."""

import tyro

from experiments.benchmarks.decode.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.decode"))
