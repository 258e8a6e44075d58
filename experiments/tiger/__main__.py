"""`python -m experiments.tiger`: train, recommend, tables."""

import sys

from experiments.tiger.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
