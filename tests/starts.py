"""Starts of models, compiled: one by one their operations take three times as long."""

import jax

started = jax.jit(lambda objective, key: objective.init(key))
"""The variables of an objective at the key of a seed."""
