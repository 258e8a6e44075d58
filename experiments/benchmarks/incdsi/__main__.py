"""`python -m experiments.benchmarks.incdsi`."""

import tyro

from experiments.benchmarks.incdsi.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.incdsi"))
