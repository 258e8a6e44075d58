"""Experiments: one folder a paper, run from a checkout as `python -m experiments.<paper>`."""
