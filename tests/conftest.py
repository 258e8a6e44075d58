"""Strict settings for the whole suite; none of them reaches a user of the library."""

import gc
import importlib.metadata
import os
import shutil
import tempfile

# Before JAX starts its CPU client: with fewer threads than twice the devices, a loop of steps
# that hold an all-reduce dead-locks on a machine of few cores.
os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Most of the suite's time is the compiler's, for programs that run once. What the caller sets
# comes later and wins.
os.environ["XLA_FLAGS"] = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    + os.environ.get("XLA_FLAGS", "")
)
# A collective whose devices do not all arrive within 40 s aborts the process; on a busy machine
# they may be late. JAX 0.7.2 has no such flag, and unknown flags are fatal.
if tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:3])) >= (0, 10, 2):
    os.environ["XLA_FLAGS"] += " --xla_cpu_collective_call_terminate_timeout_seconds=900"

import hypothesis
import jax
import jaxtyping
import pytest

DEVICES = 8

jax.config.update("jax_num_cpu_devices", DEVICES)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# From here on every annotation of mmjax is checked when a function is called.
jaxtyping.install_import_hook("mmjax", "beartype.beartype")

hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config):
    """Keep this run's caches, and those of the processes it starts, in a folder of their own."""
    folder = tempfile.mkdtemp(prefix="mmjax-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["MMJAX_DATA"] = f"{folder}/data"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/xla"
    jax.config.update("jax_compilation_cache_dir", f"{folder}/xla")
    # Files share hundreds of small programs, and commands that are resumed all of theirs.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(autouse=True, scope="module")
def programs_of_one_file():
    """Let go of a file's compiled programs; those of the whole suite take gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def getkey():
    """A function that returns a fresh, reproducible typed key at each call."""
    root, count = jax.random.key(0), 0

    def fresh():
        nonlocal count
        count += 1
        return jax.random.fold_in(root, count)

    return fresh
