"""Small problems of the recommenders that enoche/MMRec holds. Needs NumPy alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.parity.common.problem import LARGER, Case, enlarged


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
            yield f"{model}_larger", Case(model, second, **LARGER, **more)


CASES = dict(_cases())
STARTS = {name: enlarged(case) for name, case in CASES.items() if name == case.model}


def gumbel(case: Case) -> list[list[np.ndarray]]:
    """Noise of LGMRec's memberships: for each modality that of the items and that of the users."""
    draw = np.random.default_rng(2000 + case.seed)
    shapes = [(n, case.settings["hyper_num"]) for n in (case.n_items, case.n_users)]
    return [[draw.gumbel(size=s).astype(np.float32) for s in shapes] for _ in range(2)]
