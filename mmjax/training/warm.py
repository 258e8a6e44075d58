"""Starting from the parameters of another run, whose users and items may have been fewer.

Axes: m entries of the new run, n those of the old one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Int

from mmjax.errors import UserError
from mmjax.objective import Objective, Variables
from mmjax.training.naming import slashed


class Entries(NamedTuple):
    """The entries of one kind, such as users, in both runs."""

    kind: str
    """A part of the names of their tables, such as "user"."""
    old: int
    """How many the old run had."""
    place: Int[np.ndarray, "m"]
    """Of each new entry its number in the old run; -1 is new."""


def entries(kind: str, old: np.ndarray, new: np.ndarray) -> Entries:
    """Entries by their raw ids, as the two runs know them."""
    number = {str(raw): n for n, raw in enumerate(old.tolist())}
    place = np.array([number.get(str(raw), -1) for raw in new.tolist()], np.int64)
    return Entries(kind, len(old), place)


def warm_started(
    objective: Objective, variables: Variables, kinds: tuple[Entries, ...]
) -> tuple[Objective, dict[str, int]]:
    """The objective whose first parameters are those of another run, where they fit.

    A leaf of the same shape is taken over. Of a table with a row for each entry of a kind, rows of
    entries that the old run had are taken over, and the others start as they would; so of a table
    of all kinds one after the other. Anything else starts as it would.

    Args:
        objective: to be trained.
        variables: of the old run.
        kinds: what tables have rows of, in the order in which a table of all of them has them.

    Returns:
        The objective, and how many leaves were taken over ("whole"), by rows ("rows") or not
        ("fresh").

    Raises:
        UserError: nothing can be taken over; it was another method.
    """
    like = jax.eval_shape(objective.init, jax.random.key(0))
    old, new = slashed(variables), slashed(like)
    taken: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for name, leaf in new.items():
        before = old.get(name)
        if before is None:
            continue
        before = np.asarray(before)
        place = _place(name, before.shape, leaf.shape, kinds)
        if place is not None:
            taken[name] = (before, place)
        elif before.shape == leaf.shape and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            taken[name] = (before, None)
    if not taken:
        raise UserError(
            "warm start: no parameter of the earlier run fits this method; give a run of the same "
            "method and sizes"
        )
    rows = sum(place is not None for _, place in taken.values())
    counts = {"whole": len(taken) - rows, "rows": rows, "fresh": len(new) - len(taken)}
    arrays = {n: jnp.asarray(x) for n, (x, _) in taken.items()}
    places = {n: jnp.asarray(p) for n, (_, p) in taken.items() if p is not None}
    return objective._replace(init=Partial(_init, objective.init, arrays, places)), counts


def _place(
    name: str, old: tuple[int, ...], new: tuple[int, ...], kinds: tuple[Entries, ...]
) -> np.ndarray | None:
    """The old row of each new one, -1 for none; None for what has no rows of these kinds."""
    if not old or not new or old[1:] != new[1:]:
        return None
    fits = [k for k in kinds if (k.old, len(k.place)) == (old[0], new[0])]
    by_name = [k for k in fits if k.kind in name.lower()]
    chosen = by_name or fits
    if chosen:
        return chosen[0].place
    if (sum(k.old for k in kinds), sum(len(k.place) for k in kinds)) == (old[0], new[0]):
        parts, first = [], 0
        for k in kinds:
            parts.append(np.where(k.place < 0, -1, k.place + first))
            first += k.old
        return np.concatenate(parts)
    return None


def _init(
    init: Partial, arrays: Mapping[str, Array], places: Mapping[str, Array], key: Array
) -> Any:
    fresh = init(key)
    leaves = slashed(fresh)
    for name, before in arrays.items():
        place = places.get(name)
        if place is None:
            leaves[name] = before.astype(leaves[name].dtype)
            continue
        known = (place >= 0).reshape((-1,) + (1,) * (before.ndim - 1))
        rows = before[jnp.maximum(place, 0)].astype(leaves[name].dtype)
        leaves[name] = jnp.where(known, rows, leaves[name])
    return jax.tree.unflatten(jax.tree.structure(fresh), list(leaves.values()))
