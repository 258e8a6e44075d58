"""Small random problems on which recommenders are compared with their authors' code.

A record holds the inputs, the weights under ``state/<official name>``, and what the official code
computes: ``users`` and ``items`` (vectors), ``scores``, ``loss``, ``part/<name>`` and
``grad/<official name>``. Needs NumPy alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

WIDTHS = {"image": 8, "text": 5}


@dataclass(frozen=True)
class Case:
    """One problem of one model; `settings` are of the official code, by its own names.

    `widths` are of the features, `width` of vectors, and `latent` that of MMGCN's image features.
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=lambda: WIDTHS)
    width: int = 4
    latent: int = 6
    n_users: int = 7
    n_items: int = 9
    batch: int = 12
    negatives: int = 1
    seed: int = 0


LARGER: dict[str, Any] = {"n_users": 13, "n_items": 11, "batch": 20, "seed": 1}


def enlarged(case: Case) -> Case:
    """A case that is large enough for a look at how its parameters start."""
    many = {"hyper_num": 24, "embed_dim": 120, "widths": [24, 20, 16, 12], "R": 16, "s_dim": 5}
    sizes: dict[str, Any] = {"n_users": 150, "n_items": 120, "width": 24, "latent": 20}
    settings = {k: many.get(k, v) for k, v in case.settings.items()}
    widths = {n: 80 - 10 * k for k, n in enumerate(case.widths)}
    return replace(case, settings=settings, widths=widths, **sizes)


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Distinct pairs, features, and a batch with repeated rows and unseen negatives.

    The last item has no pair, and in the larger problems the last user has none either. All
    numbers are exact in float32.
    """
    draw = np.random.default_rng(case.seed)
    users, items = case.n_users - (case.n_users > 10), case.n_items - 1
    linked = draw.random((users, items)) < 0.35
    linked[np.arange(users), draw.integers(items, size=users)] = True
    linked[draw.integers(users, size=items), np.arange(items)] = True
    pairs = np.argwhere(linked)
    pairs = pairs[draw.permutation(len(pairs))]
    rows = pairs[draw.integers(len(pairs), size=case.batch)]
    seen = np.zeros((case.n_users, case.n_items), bool)
    seen[pairs[:, 0], pairs[:, 1]] = True
    unseen = [
        draw.choice(np.flatnonzero(~seen[u]), size=case.negatives, replace=True) for u in rows[:, 0]
    ]
    features = {
        f"features/{name}": draw.normal(size=(case.n_items, width)).astype(np.float32)
        for name, width in case.widths.items()
    }
    batch = {"user": rows[:, 0], "item": rows[:, 1], "negatives": np.array(unseen)}
    return {"pairs": pairs, **batch, **features}
