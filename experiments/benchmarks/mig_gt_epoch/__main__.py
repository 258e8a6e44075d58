"""`python -m experiments.benchmarks.mig_gt_epoch`."""

import tyro

from experiments.benchmarks.mig_gt_epoch.ours import Options, main

if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.benchmarks.mig_gt_epoch"))
