"""Synthetic data with planted structure, for tests and notebooks without any download."""
