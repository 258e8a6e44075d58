"""`python -m experiments.bench`: see `--help`."""

import sys

from experiments.bench.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
