"""`python -m experiments.meta_mmf`: train, recommend, depth, claim."""

import sys

from experiments.meta_mmf.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
