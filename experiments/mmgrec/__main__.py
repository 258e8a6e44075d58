"""`python -m experiments.mmgrec`: train, recommend, ablate, cost, tables."""

import sys

from experiments.mmgrec.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
