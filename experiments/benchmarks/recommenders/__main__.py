"""`python -m experiments.benchmarks.recommenders`."""

import tyro

from experiments.benchmarks.recommenders.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.recommenders"))
