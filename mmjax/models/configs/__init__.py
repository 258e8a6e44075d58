"""Hyper-parameters of the models, importable without JAX so that `--help` answers at once."""
