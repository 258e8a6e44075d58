"""Shapes, batches and checksums that both sides of `encoders` share."""

import numpy as np

SHAPES: dict[str, dict[str, dict[str, int]]] = {
    "full": {
        "minilm": {"width": 384, "layers": 6, "heads": 12, "hidden": 1536, "vocabulary": 30_522},
        "vit": {"width": 768, "layers": 12, "heads": 12, "hidden": 3072, "size": 224, "patch": 16},
    },
    "tiny": {
        "minilm": {"width": 8, "layers": 1, "heads": 2, "hidden": 16, "vocabulary": 50},
        "vit": {"width": 8, "layers": 1, "heads": 2, "hidden": 16, "size": 16, "patch": 8},
    },
}
CASES = {
    "MiniLM, 1 x 32 tokens": ("minilm", 1, 32),
    "MiniLM, 32 x 64 tokens": ("minilm", 32, 64),
    "ViT-B/16, 1 image": ("vit", 1, 0),
    "ViT-B/16, 8 images": ("vit", 8, 0),
}
"""Model, rows of a batch, tokens of a text."""


def inputs(case: str, shape: dict[str, int]) -> np.ndarray:
    """Ids int32 ``[b, s]``, or pixels float32 ``[b, y, x, 3]``."""
    model, rows, length = CASES[case]
    draw = np.random.default_rng(0)
    if model == "minilm":
        return draw.integers(3, shape["vocabulary"], (rows, length)).astype(np.int32)
    return draw.standard_normal((rows, shape["size"], shape["size"], 3)).astype(np.float32)


def checksum(x: np.ndarray) -> float:
    """A projection of an output ``[...]`` onto a fixed vector of length one."""
    fixed = np.cos(np.arange(x.size))
    return float(x.ravel() @ fixed / np.linalg.norm(fixed))
