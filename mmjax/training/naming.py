"""Pytrees as flat dicts of numpy arrays and back, by names such as ``params/dense/kernel``."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Arrays = dict[str, np.ndarray]


def slashed(tree: Any) -> dict[str, Any]:
    """Leaves by the names of their place joined with slashes; a slash in a name becomes ``|``.

    Raises:
        ValueError: two places have the same name.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    out = {_name(path): leaf for path, leaf in leaves}
    if len(out) != len(leaves):
        raise ValueError("two leaves have the same name: names may not differ by '/' and '|' only")
    return out


def named(tree: Any) -> Arrays:
    """Copies on the host of the leaves by name; random keys as their data.

    They are copies because the device may reuse its buffers while they are being written.
    """
    return {name: np.array(_raw(leaf)) for name, leaf in slashed(tree).items()}


def unnamed(arrays: Mapping[str, np.ndarray], like: Any) -> Any:
    """The tree `like` with the arrays of its leaves' names; `like` may hold shapes alone.

    Raises:
        ValueError: a leaf is missing, left over, or of another shape or dtype.
    """
    wanted = slashed(like)
    wrong = [f"{name} is missing" for name in sorted(set(wanted) - set(arrays))]
    wrong += [f"{name} is not expected" for name in sorted(set(arrays) - set(wanted))]
    leaves = []
    for name in wanted.keys() & arrays.keys():
        x, raw = arrays[name], jax.eval_shape(_raw, wanted[name])
        if (x.shape, x.dtype) != (raw.shape, raw.dtype):
            wrong.append(f"{name} is {x.dtype}{x.shape}, expected {raw.dtype}{raw.shape}")
    if wrong:
        raise ValueError("\n  ".join(wrong[:10] + ["..."] * (len(wrong) > 10)))
    leaves = [_wrapped(arrays[name], leaf) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts from names with slashes."""
    out: dict[str, Any] = {}
    for name, x in arrays.items():
        *parents, last = name.split("/")
        place = out
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = x
    return out


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(_part(key).replace("/", "|") for key in path)


def _part(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _is_random_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_random_key(leaf) else leaf


def _wrapped(x: np.ndarray, like: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(x)) if _is_random_key(like) else x
