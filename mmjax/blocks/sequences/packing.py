"""Sequences of many lengths side by side in rows of one length, so that little of it is padding.

Where most sequences are short, rows of their own are mostly padding (Amazon Beauty: 87 % of 50
positions). Packed, they cost what their tokens cost; a mask keeps them apart.

Axes: e items of all sequences, n windows, r rows, b rows of a batch, t places of a row.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Int, Integer


class Packed(NamedTuple):
    """Windows of a flat array of items, packed; made by `packed`."""

    items: Int[Array, "e"]
    start: Int[Array, "n"]
    stop: Int[Array, "n"]
    window: Int[Array, "r t"]
    """Which window stands in a place; -1 is none."""
    place: Int[Array, "r t"]
    """Which of the window's items it is, from 0."""


class Tokens(NamedTuple):
    """Rows of items, in each place one, or none where `window` is -1."""

    item: Int[Array, "b t"]
    following: Int[Array, "b t"]
    """The item after it, which a model of sequences predicts there."""
    window: Int[Array, "b t"]
    """Which window the place belongs to, in [0, n); -1 is none."""
    age: Int[Array, "b t"]
    """How many items of the window come after it: 0 is the latest."""


def pack(lengths: Integer[np.ndarray, "n"], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and first column of each of n sequences in rows of `width`; on the host, once.

    Best fit, longest first: a sequence goes to the fullest row that still holds it. Of the order
    within a length that of the input decides. A sequence of length zero gets row -1.

    Raises:
        ValueError: a length is negative or above `width`.
    """
    if len(lengths) and not 0 <= lengths.min() <= lengths.max() <= width:
        raise ValueError(
            f"pack: lengths from {lengths.min()} to {lengths.max()} do not fit rows of {width}"
        )
    row, column = np.full(len(lengths), -1, np.int64), np.zeros(len(lengths), np.int64)
    rows_with_room: list[list[int]] = [[] for _ in range(width + 1)]
    # Bit c is set where some row has room for exactly c more.
    rooms, n_rows = 0, 0
    for n in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[n])
        if not length:
            break
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row[n] = rows_with_room[room].pop()
            if not rows_with_room[room]:
                rooms ^= 1 << room
        else:
            room, row[n], n_rows = width, n_rows, n_rows + 1
        column[n] = width - room
        rows_with_room[room - length].append(int(row[n]))
        rooms |= 1 << (room - length)
    return row, column


def packed(
    items: Integer[np.ndarray, "e"],
    start: Integer[np.ndarray, "n"],
    stop: Integer[np.ndarray, "n"],
    width: int,
) -> Packed:
    """The windows ``items[start:stop]`` in rows of `width`, on the device; empty ones are nowhere.

    Of a longer window the latest `width` items are kept. ``items[stop]`` is what follows.

    Raises:
        ValueError: there is no item at all, `width` is below 1, or a window does not lie in the
            array.
    """
    start, stop = np.maximum(np.asarray(start), np.asarray(stop) - width), np.asarray(stop)
    if width < 1 or not len(stop) or (stop <= start).all():
        raise ValueError(f"packed: {len(stop)} windows in rows of {width}; nothing to pack")
    if start.min() < 0 or stop.max() > len(items) or (stop < start).any():
        raise ValueError(f"packed: windows must lie in the {len(items)} items and not be backwards")
    lengths = stop - start
    row, column = pack(lengths, width)
    of = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    window, inside = np.full((2, int(row.max()) + 1, width), -1, np.int32)
    window[row[of], column[of] + place] = of
    inside[row[of], column[of] + place] = place
    arrays = (items, start, stop, window, np.maximum(inside, 0))
    return Packed(*(jnp.asarray(x, jnp.int32) for x in arrays))


def tokens(windows: Packed, rows: Int[Array, "b"]) -> Tokens:
    """The tokens of some rows."""
    window, place = windows.window[rows], windows.place[rows]
    start, stop = windows.start[window], windows.stop[window]
    index = start + place
    return Tokens(
        item=windows.items.at[index].get(mode="clip"),
        following=windows.items.at[index + 1].get(mode="clip"),
        window=window,
        age=jnp.where(window >= 0, stop - 1 - index, 0),
    )


def side_by_side(item: Int[Array, "b t"], where: Bool[Array, "b t"]) -> Tokens:
    """Rows of one sequence each as tokens; row n is window n, nothing follows.

    Args:
        item: oldest first; whatever stands where `where` is False has no effect.
        where: which places hold an item; padding may stand on either side, or between.
    """
    window = jnp.where(where, jnp.arange(len(item), dtype=item.dtype)[:, None], -1)
    later = jnp.cumsum(where[:, ::-1], axis=1, dtype=item.dtype)[:, ::-1]
    return Tokens(item, item, window, jnp.where(where, later - 1, 0))


def own_past(window: Int[Array, "b t"]) -> Bool[Array, "b 1 t t"]:
    """Mask of attention that lets a place see its own window's places up to itself."""
    place = jnp.arange(window.shape[1])
    past = (place[None, :] <= place[:, None])[None]
    same = (window[:, :, None] == window[:, None, :]) & (window[:, :, None] >= 0)
    return (same & past)[:, None]
