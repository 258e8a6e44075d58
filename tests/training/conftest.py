"""Many tests here compile the same small programs."""

import jax
import pytest


@pytest.fixture(autouse=True)
def keep_small_programs():
    """Let the suite's compilation cache hold programs that compile in less than a second."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[name]
    jax.config.update(name, 0.0)
    yield
    jax.config.update(name, before)
