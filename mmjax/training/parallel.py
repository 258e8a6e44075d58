"""One step, three spellings: which devices share a batch, and how the program says so."""

import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mmjax.objective import Batch

AXIS = "data"
"""Name of the axis of devices that the rows of a batch are split over."""

Mode = Literal["jit", "shard_map", "pmap"]


def init(cpu_devices: int | None = None) -> None:
    """Process-wide settings that scripts want; call it before anything runs on a device.

    Compiled programs are kept in ``~/.cache/mmjax/xla`` unless JAX_COMPILATION_CACHE_DIR names
    another directory. With virtual CPU devices (`cpu_devices`, or XLA_FLAGS, or JAX's own
    setting) the CPU client gets two threads per device: with fewer, a loop of steps that hold an
    all-reduce dead-locks on a machine of few cores.
    """
    if cpu_devices is not None:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    by_flags = _forced_by_flags(os.environ.get("XLA_FLAGS", ""))
    virtual = max(jax.config.values["jax_num_cpu_devices"], by_flags)
    if virtual > 1 and "PJRT_NPROC" not in os.environ and "NPROC" not in os.environ:
        os.environ["PJRT_NPROC"] = str(max(2 * virtual, os.cpu_count() or 1))
    if jax.config.values["jax_compilation_cache_dir"] is None:
        cache = Path.home() / ".cache" / "mmjax" / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))


def _forced_by_flags(flags: str) -> int:
    name = "--xla_force_host_platform_device_count="
    counts = [f.removeprefix(name) for f in flags.split() if f.startswith(name)]
    return int(counts[-1]) if counts else 1


def make_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all devices of all processes, or of the first `devices` of a single process.

    Raises:
        ValueError: there are fewer devices, or several processes would not all take part.
    """
    every = jax.devices()
    n = len(every) if devices is None else devices
    if not 1 <= n <= len(every):
        raise ValueError(f"devices = {n}, but there are {len(every)}: {every[0].platform}")
    if jax.process_count() > 1 and n != len(every):
        raise ValueError(f"devices = {n}: with several processes all {len(every)} take part")
    return jax.make_mesh((n,), (AXIS,), axis_types=(AxisType.Auto,), devices=every[:n])


def pad_rows(batch: Batch, multiple: int) -> Batch:
    """Add rows of zeros, with `where` False, until the rows are a multiple of `multiple`.

    Raises:
        ValueError: the entries do not have the same rows, or rows are to be added and the batch
            has no entry `where` that could mark them.
    """
    counts = {name: x.shape[0] if x.ndim else None for name, x in batch.items()}
    n = next(iter(counts.values()))
    if n is None or set(counts.values()) != {n}:
        raise ValueError(
            f"every entry of a batch needs the same leading axis of rows, got {counts}"
        )
    short = -n % multiple
    if short == 0:
        return batch
    if "where" not in batch:
        raise ValueError(
            f"{n} rows cannot be split over {multiple} devices: give the batch a bool entry "
            "'where', so that rows can be added that do not count, or change the batch size"
        )
    return {name: jnp.pad(x, [(0, short)] + [(0, 0)] * (x.ndim - 1)) for name, x in batch.items()}


def own_rows(batch: Batch, axis: str) -> Batch:
    """The contiguous share of the global batch that this device of the mapped `axis` works on."""
    n = lax.psum(1, axis)
    k = lax.axis_index(axis)
    share = {name: x.shape[0] // n for name, x in batch.items()}
    return {
        name: lax.dynamic_slice_in_dim(x, k * share[name], share[name]) for name, x in batch.items()
    }


@dataclass(frozen=True)
class Devices:
    """The devices of a run and the spelling of its step."""

    mesh: Mesh
    mode: Mode = "jit"

    @property
    def replicated(self) -> NamedSharding:
        """Sharding of everything but a batch. Under `pmap` each process keeps its own copies."""
        if self.mode == "pmap" and jax.process_count() > 1:
            local = np.asarray(jax.local_devices())
            mesh = Mesh(local, (AXIS,), axis_types=(AxisType.Auto,))
            return NamedSharding(mesh, PartitionSpec())
        return NamedSharding(self.mesh, PartitionSpec())

    def replicate(self, tree: Any) -> Any:
        """Arrays of `tree`, the same in every process, on every device."""
        sharding = self.replicated
        if sharding.is_fully_addressable:
            return jax.device_put(tree, sharding)
        return jax.tree.map(lambda x: _everywhere(x, sharding), tree)

    def jit(self, f: Callable[..., Any], *, donate: Sequence[int] = ()) -> Callable[..., Any]:
        """`f` compiled for replicated arguments and results, without any rows to split."""
        where = self.replicated
        return jax.jit(f, in_shardings=where, out_shardings=where, donate_argnums=tuple(donate))

    def data_parallel(self, f: Callable[..., Any], *, donate: Sequence[int] = ()) -> "Program":
        """``f(*args, rows=..., axis=...)`` as a program that splits batches over the devices.

        `f` makes global batches from replicated arguments, passes them through ``rows`` and hands
        `axis` to `update`. Its results must be the same on every device.

        - "jit": `f` sees the global view (axis None) and the compiler splits the work;
        - "shard_map": `f` is the program of one device and averages its own gradients, hence
          ``check_vma=False``: with it on, differentiation would already have summed them;
        - "pmap": the same through `jax.pmap`.
        """
        if self.mode == "jit":
            split = NamedSharding(self.mesh, PartitionSpec(AXIS))

            def whole(batch: Batch) -> Batch:
                return lax.with_sharding_constraint(pad_rows(batch, self.mesh.size), split)

            jitted = self.jit(lambda *args: f(*args, rows=whole, axis=None), donate=donate)
            return Program(lambda n_args: jitted)

        def share(batch: Batch) -> Batch:
            return own_rows(pad_rows(batch, self.mesh.size), AXIS)

        def one_device(*args: Any) -> Any:
            return f(*args, rows=share, axis=AXIS)

        if self.mode == "shard_map":
            everywhere = PartitionSpec()
            mapped = jax.shard_map(
                one_device,
                mesh=self.mesh,
                in_specs=everywhere,
                out_specs=everywhere,
                check_vma=False,
            )
            jitted = jax.jit(mapped, donate_argnums=tuple(donate))
            return Program(lambda n_args: jitted)
        return self._pmap(one_device, tuple(donate))

    def _pmap(self, one_device: Callable[..., Any], donate: tuple[int, ...]) -> "Program":
        # pmap wants one mapped argument to know the devices by; the step needs none.
        devices = list(self.mesh.devices.flat)
        here = sum(d.process_index == jax.process_index() for d in devices)

        @functools.cache
        def mapped(n_args: int) -> Any:
            return jax.pmap(
                lambda _, *args: one_device(*args),
                axis_name=AXIS,
                in_axes=(0,) + (None,) * n_args,
                out_axes=None,
                devices=None if jax.process_count() > 1 else devices,
                donate_argnums=tuple(k + 1 for k in donate),
            )

        # With several processes pmap translates between this process's arrays and global ones
        # around every call, which an executable made ahead of time would leave out.
        return Program(mapped, (np.zeros(here, np.float32),), ahead=jax.process_count() == 1)


class Cost(NamedTuple):
    """The cost of a compiled program."""

    seconds: float
    """Time to compile it."""
    flops: float
    """Floating point operations, the body of each loop counted once; 0 if unknown."""
    temporary_bytes: int
    """Memory beside arguments and results, on each device; 0 if unknown."""


@dataclass(frozen=True)
class Program:
    """A function of replicated arguments, to be called or to be compiled ahead of its calls."""

    jitted: Callable[[int], Any]
    """From the number of arguments to something with `lower` that can be called."""
    bound: tuple[Any, ...] = ()
    """Arguments before the caller's."""
    ahead: bool = True
    """Whether it can be compiled before it is called."""

    def __call__(self, *args: Any) -> Any:
        return self.jitted(len(args))(*self.bound, *args)

    def compile(self, *args: Any) -> tuple[Callable[..., Any], Cost]:
        """The executable for arguments like these, and what it costs."""
        began = time.perf_counter()
        if not self.ahead:
            return self, Cost(0.0, 0.0, 0)
        lowered = self.jitted(len(args)).lower(*self.bound, *args)
        flops = (lowered.cost_analysis() or {}).get("flops", 0.0)
        compiled = lowered.compile()
        memory = compiled.memory_analysis()
        cost = Cost(
            time.perf_counter() - began,
            max(0.0, float(flops)),
            0 if memory is None else int(memory.temp_size_in_bytes),
        )
        return functools.partial(compiled, *self.bound), cost


def local(tree: Any) -> Any:
    """Copies of replicated arrays that this process holds, each on one device."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def _everywhere(x: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = _everywhere(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    host = np.asarray(x)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
