"""`python -m experiments.ad_drl`: train, recommend, explain, control."""

import sys

from experiments.ad_drl.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
