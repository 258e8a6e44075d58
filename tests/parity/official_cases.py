"""Small random problems on which recommenders are compared with their authors' code.

A record holds the inputs, the weights under ``state/<official name>``, and what the official code
computes: ``users`` and ``items`` (vectors), ``scores``, ``loss``, ``part/<name>`` and
``grad/<official name>``. Needs NumPy alone.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

WIDTHS = {"image": 8, "text": 5}
ATTRIBUTES = {"price": 3, "salesrank": 2, "brand": 6, "category": 4}


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


_LARGER: dict[str, Any] = {"n_users": 13, "n_items": 11, "batch": 20, "seed": 1}


def _cases() -> Iterator[tuple[str, Case]]:
    """A small problem of each model, then a larger one under other settings."""
    text: Any = {"widths": {"text": 6}}
    for model, first, second, more in (
        ("bpr_mf", {"reg_weight": 0.3}, None, {}),
        ("light_gcn", {"n_layers": 2, "reg_weight": 0.3}, None, {}),
        ("vbpr", {"reg_weight": 0.3}, {"reg_weight": 0.2}, text),
        (
            "freedom",
            {"reg_weight": 0.4, "knn_k": 3, "n_mm_layers": 1, "mm_image_weight": 0.1},
            {"reg_weight": 0.2, "knn_k": 4, "n_mm_layers": 2, "mm_image_weight": 0.3},
            {},
        ),
        ("bm3", {"n_layers": 1, "reg_weight": 0.1}, {"n_layers": 2, "reg_weight": 0.3}, {}),
        (
            "lattice",
            {"knn_k": 3, "lambda_coeff": 0.6, "reg_weight": 0.1},
            {"knn_k": 4, "lambda_coeff": 0.9, "reg_weight": 0.2, "n_layers": 2},
            {},
        ),
        ("mmgcn", {"reg_weight": 0.3}, {"reg_weight": 0.2}, text),
        ("grcn", {"reg_weight": 0.3}, {"reg_weight": 0.2}, {}),
        ("grcn_paper", {"reg_weight": 0.3, "routing_to_users": True}, None, {}),
        (
            "mgcn",
            {"knn_k": 3, "n_ui_layers": 2, "n_layers": 1, "reg_weight": 0.1, "cl_loss": 0.3},
            {"knn_k": 4, "n_ui_layers": 1, "n_layers": 2, "reg_weight": 0.2, "cl_loss": 0.1},
            {},
        ),
        (
            "lgmrec",
            {
                "n_ui_layers": 2,
                "n_mm_layers": 2,
                "n_hyper_layer": 1,
                "hyper_num": 3,
                "alpha": 0.3,
                "cl_weight": 0.1,
                "reg_weight": 0.3,
            },
            {
                "n_ui_layers": 1,
                "n_mm_layers": 1,
                "n_hyper_layer": 2,
                "hyper_num": 5,
                "alpha": 0.6,
                "cl_weight": 0.2,
                "reg_weight": 0.1,
            },
            {},
        ),
        (
            "smore",
            {
                "n_ui_layers": 3,
                "n_layers": 1,
                "image_knn_k": 4,
                "text_knn_k": 2,
                "reg_weight": 0.1,
                "cl_loss": 0.3,
            },
            {
                "n_ui_layers": 2,
                "n_layers": 2,
                "image_knn_k": 3,
                "text_knn_k": 5,
                "reg_weight": 0.2,
                "cl_loss": 0.1,
            },
            {},
        ),
        (
            "slmrec",
            {"layer_num": 3, "ssl_alpha": 0.3, "ssl_temp": 0.5},
            {"layer_num": 1, "ssl_alpha": 0.7, "ssl_temp": 0.9},
            {},
        ),
    ):
        yield model, Case(model.removesuffix("_paper"), first)
        if second is not None:
            yield f"{model}_larger", Case(model, second, **_LARGER, **more)


def _meta_mmf() -> Iterator[tuple[str, Case]]:
    """The released layer, the paper's, and the one with whole tensors."""
    settings: dict[str, Any] = {"R": 2, "s_dim": 3, "widths": [7, 6, 5, 4], "gcn": True}
    three: Any = {"model": "meta_mmf", "widths": {"image": 8, "audio": 3, "text": 5}}
    wide = settings | {"R": 4, "s_dim": 2, "widths": [6, 5, 4, 3]}
    for layer in ("released", "cp", "full"):
        yield f"meta_mmf_{layer}", Case(settings=settings | {"layer": layer}, **three)
    yield "meta_mmf_cp_larger", Case(settings=wide | {"layer": "cp"}, **three, **_LARGER)
    yield "meta_mmf_cp_mf", Case(settings=wide | {"layer": "cp", "gcn": False}, **three)


def _ad_drl() -> Iterator[tuple[str, Case]]:
    """Four attributes and the rest, and three of them as on Baby."""
    weights = {"decay_r": 0.3, "decay_f": 0.7, "decay_a": 2.0, "decay_n": 0.2}
    three: Any = {"model": "ad_drl", "negatives": 3}
    toys = weights | {"dataset_name": "ToysGames", "n_factors": 5, "embed_dim": 15, "temp": 1.0}
    yield "ad_drl", Case(settings=toys, **three)
    baby = weights | {"dataset_name": "Baby", "n_factors": 4, "embed_dim": 16, "temp": 2.0}
    yield "ad_drl_larger", Case(settings=baby, **three, **_LARGER)


def _invrl() -> Iterator[tuple[str, Case]]:
    """The recommender before and after the mask is known, and what comes between."""
    weights = {"p_w": [1.0, 2.0, 3.0, 0.5], "p_emb": [0.1, 0.3], "p_proj": [0.1, 0.2]}
    many: Any = {"negatives": 4}
    yield "invrl", Case("invrl", weights | {"wdi": 1.0, "masked": False}, **many)
    yield "invrl_final", Case("invrl", weights | {"wdi": 2.0, "masked": True}, **many, **_LARGER)
    # What the stages do not train has a constant penalty, which is left out here.
    stages = weights | {"p_emb": [0.1, 0.0], "wdi": 2.0, "num_domains": 3, "b_epoch": 1}
    stages |= {"alpha": 0.3, "lam": 0.7, "epoch": 5}
    for stage in ("environments", "mask"):
        yield f"invrl_{stage}", Case(f"invrl_{stage}", stages, **many)
    yield "invrl_mask_larger", Case("invrl_mask", stages | {"num_domains": 5}, **many, **_LARGER)


CASES = dict(itertools.chain(_cases(), _meta_mmf(), _invrl(), _ad_drl()))


def _starts() -> Iterator[tuple[str, Case]]:
    """A case of each model that is large enough for a look at how its parameters start."""
    many = {"hyper_num": 24, "embed_dim": 120, "widths": [24, 20, 16, 12], "R": 16, "s_dim": 5}
    sizes: dict[str, Any] = {"n_users": 150, "n_items": 120, "width": 24, "latent": 20}
    for name, case in CASES.items():
        if name in (case.model, "meta_mmf_released", "meta_mmf_cp", "meta_mmf_full"):
            settings = {k: many.get(k, v) for k, v in case.settings.items()}
            widths = {n: 80 - 10 * k for k, n in enumerate(case.widths)}
            yield name, replace(case, settings=settings, widths=widths, **sizes)


STARTS = {name: case for name, case in _starts() if not name.startswith("invrl_")}


def environments(case: Case) -> np.ndarray:
    """The environment of every row of the batch, for InvRL; each has a row."""
    draw = np.random.default_rng(4000 + case.seed)
    return draw.permutation(np.arange(case.batch) % case.settings["num_domains"])


def mask(case: Case) -> np.ndarray:
    """InvRL's weights of the content, some of them zero or one."""
    draw = np.random.default_rng(5000 + case.seed)
    return np.clip(draw.normal(0.5, 0.6, sum(case.widths.values())), 0, 1).astype(np.float32)


def labels(case: Case) -> dict[str, np.ndarray]:
    """The class of every item by attribute, for AD-DRL; each class occurs."""
    draw = np.random.default_rng(3000 + case.seed)
    names = [*ATTRIBUTES][: case.settings["n_factors"] - 1]
    return {n: draw.permutation(np.arange(case.n_items) % ATTRIBUTES[n]) for n in names}


def gumbel(case: Case) -> list[list[np.ndarray]]:
    """Noise of LGMRec's memberships: for each modality that of the items and that of the users."""
    draw = np.random.default_rng(2000 + case.seed)
    shapes = [(n, case.settings["hyper_num"]) for n in (case.n_items, case.n_users)]
    return [[draw.gumbel(size=s).astype(np.float32) for s in shapes] for _ in range(2)]


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
