"""`python -m experiments.mig_gt`: train, recommend, sweep, hops, tables."""

import sys

from experiments.mig_gt.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
