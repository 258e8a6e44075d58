"""Small random problems of MIG-GT. Needs NumPy alone.

A record is a flat dict of arrays, as a stored file holds it: the inputs, the weights under
``state/<PyTorch name>``, and per mode (``eval``, ``train``) the results.
"""

from dataclasses import dataclass

import numpy as np

from tests.parity.common.records import load, reference

MODES = ("eval", "train")
MODALITIES = ("text", "image", "audio")
WIDTH, HIDDEN, ATTENTION = 6, 7, 4
_FEATURES = {"text": 5, "image": 8, "audio": 3}


@dataclass(frozen=True)
class Case:
    """One problem; `hops` gives one count for each of the first MODALITIES."""

    hops_id: int = 4
    hops: tuple[int, ...] = (2, 1)
    samples: int = 3
    item_embeddings: bool = False
    negatives: int = 1
    alpha: float = 0.1
    beta: float = 0.9
    mix: float = 0.1
    l2: float = 0.01
    n_users: int = 6
    n_items: int = 5
    batch: int = 9
    seed: int = 0


CASES = {
    "baby": Case(),
    "clothing": Case(hops_id=2, hops=(2, 0), samples=4),
    "one_modality": Case(hops=(3,), seed=1),
    "three_modalities": Case(hops=(1, 3, 0), seed=2),
    "ids_only": Case(hops=(-1, -1), samples=0, seed=3),
    "no_ids": Case(hops_id=-1, hops=(2, 1), seed=4),
    "a_modality_left_out": Case(hops=(-1, 2), seed=5),
    "unpropagated": Case(hops_id=0, hops=(0, 0), seed=6),
    "no_samples": Case(samples=0, seed=7),
    "one_sample": Case(samples=1, seed=8),
    "item_embeddings": Case(item_embeddings=True, seed=9),
    "five_negatives": Case(negatives=5, seed=10),
    "gamma": Case(alpha=0.2, beta=0.7, seed=11),
    "more_items": Case(n_users=3, n_items=11, mix=0.4, samples=12, batch=20, seed=12),
}


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Edges (some nodes may have none), features, samples and a batch with repeated rows."""
    draw = np.random.default_rng(case.seed)
    n = case.n_users + case.n_items
    linked = draw.random((case.n_users, case.n_items)) < 0.4
    linked[draw.integers(case.n_users), draw.integers(case.n_items)] = True
    pairs = np.argwhere(linked)
    rows = pairs[draw.integers(len(pairs), size=case.batch)]
    return {
        "pairs": pairs,
        "samples": draw.integers(case.n_items, size=(n, case.samples)),
        "user": rows[:, 0],
        "item": rows[:, 1],
        "negatives": draw.integers(case.n_items, size=(case.batch, case.negatives)),
        **{
            f"features/{name}": draw.normal(size=(case.n_items, _FEATURES[name]))
            for name in MODALITIES[: len(case.hops)]
        },
    }


def stored_case(name: str) -> tuple[Case, dict[str, np.ndarray]]:
    """A case as its stored file names it, and the record."""
    header, record = load(reference("mig_gt", name))
    case = header["case"]
    return Case(**{**case, "hops": tuple(case["hops"])}), record
