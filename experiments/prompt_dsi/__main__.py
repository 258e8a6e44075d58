"""`python -m experiments.prompt_dsi`: index corpora one after the other."""

import sys

from experiments.prompt_dsi.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
