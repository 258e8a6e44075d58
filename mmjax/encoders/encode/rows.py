"""An encoder over many inputs: rows split over devices, a bar, vectors kept on disk.

Axes: n inputs, b rows of a batch, *m the shape of a row of results.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Float32

from mmjax.data.io.bars import tqdm
from mmjax.encoders.encode.cache import VectorCache

RowBatches = Iterable[tuple[np.ndarray, tuple[np.ndarray, ...]]]
"""The places of some inputs among all, and the arrays of rows that hold them and padding."""


class Runner:
    """A compiled function of parameters and rows, the rows split over devices.

    Every device has all parameters and computes its rows alone, so that nothing is exchanged.

    Args:
        function: from parameters and arrays ``[b, ...]`` to ``[b, *m]``, each row by itself.
        params: parameters.
        devices: of this process; None is all of them.
    """

    def __init__(
        self,
        function: Callable[..., Float[Array, "b *m"]],
        params: Any,
        devices: Sequence[Any] | None = None,
    ) -> None:
        chosen = np.array(devices or jax.local_devices())
        mesh = Mesh(chosen, ("rows",), axis_types=(AxisType.Auto,))
        whole, split = PartitionSpec(), PartitionSpec("rows")
        self.devices = len(chosen)
        self.params = jax.device_put(params, NamedSharding(mesh, whole))
        self._split = NamedSharding(mesh, split)

        def run(params: Any, rows: tuple[Array, ...]) -> Array:
            return function(params, *rows)

        self.compiled = jax.jit(
            jax.shard_map(run, mesh=mesh, in_specs=(whole, split), out_specs=split)
            if self.devices > 1
            else run
        )

    def __call__(self, *rows: np.ndarray) -> Float[Array, "_ *m"]:
        """Start the computation of a batch; rows are added until every device has as many."""
        short = -len(rows[0]) % self.devices
        padded = [np.pad(x, [(0, short)] + [(0, 0)] * (x.ndim - 1)) for x in rows]
        return self.compiled(self.params, tuple(jax.device_put(padded, self._split)))


def encode_rows(
    runner: Callable[..., Array],
    batches: Callable[[np.ndarray], RowBatches],
    *,
    count: int,
    shape: tuple[int, ...],
    unit: str,
    progress: bool,
    cache: str | os.PathLike[str] | None = None,
    keys: Callable[[], list[bytes]] = list,
    digest: Callable[[], str] = str,
) -> Float32[np.ndarray, "n *m"]:
    """A vector for each of `count` inputs, in their order.

    Args:
        runner: from the arrays of a batch to vectors, at least as many as the batch has inputs.
        batches: from the places of the inputs that are to be computed to batches of them.
        count: number of inputs.
        shape: of what is computed for one input.
        unit: what the bar counts.
        progress: show the bar.
        cache: folder of vectors that earlier runs have computed and later ones will want.
        keys: of all inputs; called where there is a cache, as is the next.
        digest: of the model.

    Raises:
        DataError: a file of the cache is damaged.
    """
    out = np.zeros((count, *shape), np.float32)

    def compute(todo: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        pending: list[tuple[np.ndarray, Array]] = []
        with tqdm(total=count, initial=count - len(todo), unit=unit, disable=not progress) as bar:

            def collect(keep: int) -> None:
                # The devices work on one batch while the one before it is copied.
                while len(pending) > keep:
                    places, vectors = pending.pop(0)
                    out[places] = np.asarray(vectors)[: len(places)]
                    done(places)
                    bar.update(len(places))

            for places, arrays in batches(todo):
                pending.append((places, runner(*arrays)))
                collect(1)
            collect(0)

    if cache is None:
        compute(np.arange(count), lambda places: None)
        return out
    names = keys()
    with VectorCache(cache, digest(), shape) as store:
        known_rows, vectors = store.find(names)
        out[known_rows] = vectors
        known = np.zeros(count, bool)
        known[known_rows] = True
        first: dict[bytes, int] = {}
        for n in np.flatnonzero(~known).tolist():
            first.setdefault(names[n], n)
        compute(
            np.array(list(first.values()), np.int64),
            lambda places: store.add([names[n] for n in places], out[places]),
        )
    for n in np.flatnonzero(~known):
        out[n] = out[first[names[n]]]
    return out
