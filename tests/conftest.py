"""Strict settings for the whole suite; none of them reaches a user of the library."""

import os

# Before JAX starts its CPU client: with fewer threads than twice the devices, a loop of steps
# that hold an all-reduce dead-locks on a machine of few cores.
os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import jax
import jaxtyping
import pytest

DEVICES = 8

jax.config.update("jax_num_cpu_devices", DEVICES)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

jaxtyping.install_import_hook("mmjax", "beartype.beartype")

hypothesis.settings.register_profile("dev", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def getkey():
    """A function that returns a fresh, reproducible typed key at each call."""
    root, count = jax.random.key(0), 0

    def fresh():
        nonlocal count
        count += 1
        return jax.random.fold_in(root, count)

    return fresh
