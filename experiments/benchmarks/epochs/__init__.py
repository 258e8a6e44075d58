"""The cost of an epoch of every method of the bench, on a machine that does nothing else."""
