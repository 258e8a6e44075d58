"""Agreement between the processes of one run; with one process everything here is free.

All processes train the same replicated state. Only the first one writes files, and it tells the
others what it read or why it failed, so that none is left waiting in a collective.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class RemoteError(RuntimeError):
    """The first process failed; the message is its own."""


def is_first() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether `flag` is set in any process; all must call it at the same place."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray([flag], np.uint8))))


def on_first(f: Callable[[], Any]) -> Any:
    """Run `f` in the first process only and return its JSON-able result in all of them.

    Raises:
        RemoteError: in the other processes, when `f` raised in the first one.
    """
    if jax.process_count() == 1:
        return f()
    error, reply = None, b""
    if is_first():
        try:
            reply = json.dumps({"value": f()}).encode()
        except Exception as caught:
            error = caught
            reply = json.dumps({"error": f"{type(caught).__name__}: {caught}"}).encode()
    answer = json.loads(_broadcast(reply))
    if error is not None:
        raise error
    if "error" in answer:
        raise RemoteError(answer["error"])
    return answer["value"]


def arrays_of_first(arrays: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """The first process's arrays in all processes, bit for bit; the others pass None."""
    if jax.process_count() == 1:
        assert arrays is not None
        return arrays
    shapes = on_first(lambda: {k: [str(x.dtype), list(x.shape)] for k, x in (arrays or {}).items()})
    out = {}
    for name, (dtype, shape) in shapes.items():
        raw = _broadcast(arrays[name].tobytes() if arrays is not None else b"")
        out[name] = np.frombuffer(raw, np.dtype(dtype)).reshape(shape)
    return out


def _broadcast(content: bytes) -> bytes:
    # Two 31-bit halves: a broadcast holds no 64-bit integers unless x64 is on.
    halves = np.asarray(divmod(len(content), 1 << 31), np.int32)
    high, low = np.asarray(multihost_utils.broadcast_one_to_all(halves)).tolist()
    padded = np.zeros((high << 31) + low, np.uint8)
    if is_first():
        padded[:] = np.frombuffer(content, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8).tobytes()
