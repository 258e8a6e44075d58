"""`python -m experiments.avg`: train, search, cost, tables."""

import sys

from experiments.avg.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
