"""Histories of users in order: the task that a model of sequences is built from.

Axes: e items of all users, u users, i items, t positions, m features of a modality.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Integer

from mmjax.blocks.sequences.packing import Packed, packed


@dataclass(frozen=True, eq=False)
class SequenceTask:
    """The histories that a model's retriever reads, and what is known about the items.

    Training reads sequences from its batches. A model that is to recommend after other
    histories is built again, with another task; its variables stay.

    Attributes:
        items: item ids of all users, in range, each user's oldest first.
        start, stop: user u's history is ``items[start[u]:stop[u]]``; it may be empty.
        n_items: item ids run over ``0..n-1``.
        features: item features by modality, as published.
        labels: by attribute, the class of each item, from 0.
        users: the user of each history, for models that know users; None numbers them.
    """

    items: Integer[np.ndarray, "e"]
    start: Integer[np.ndarray, "u"]
    stop: Integer[np.ndarray, "u"]
    n_items: int
    features: Mapping[str, Float[np.ndarray, "i m"]] = field(default_factory=dict)
    labels: Mapping[str, Integer[np.ndarray, "i"]] = field(default_factory=dict)
    users: Integer[np.ndarray, "u"] | None = None

    @property
    def n_users(self) -> int:
        """Number of histories."""
        return len(self.stop)

    def histories(self, length: int) -> Packed:
        """The histories in rows of `length`, of a longer one its latest items.

        Raises:
            ValueError: all are empty, or one does not lie in the items.
        """
        return packed(self.items, self.start, self.stop, length)

    def latest(self, length: int) -> Int[np.ndarray, "u t"]:
        """Every user's latest items, oldest first, the last at the end of the row; before it -1."""
        place = np.asarray(self.stop)[:, None] + np.arange(-length, 0)
        known = place >= np.asarray(self.start)[:, None]
        return np.where(known, np.asarray(self.items)[np.where(known, place, 0)], -1)
