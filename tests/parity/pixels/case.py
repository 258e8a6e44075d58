"""Small images and the settings of publishers that they are prepared by; needs NumPy alone."""

from typing import Any

import numpy as np

_SMALL = {"height": 6, "width": 5}
CASES: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": _SMALL},
    "deit": {
        "image_processor_type": "DeiTImageProcessor",
        "size": {"height": 8, "width": 8},
        "crop_size": _SMALL,
    },
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 7},
        "crop_size": {"height": 6, "width": 6},
    },
    "plain": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 4, "width": 4},
        "resample": 0,
        "do_normalize": False,
        "rescale_factor": 0.5,
    },
    "own": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 5},
        "crop_size": {"height": 5, "width": 4},
        "do_rescale": False,
        "image_mean": [1.0, 2.0, 3.0],
        "image_std": [4.0, 5.0, 6.0],
    },
}
"""`preprocessor_config.json` of each kind."""


def images() -> list[np.ndarray]:
    """Wide, high, large, and smaller than what is wanted; uint8 [rows, columns, 3]."""
    rng = np.random.default_rng(3)
    sizes = ((9, 14), (17, 6), (31, 32), (3, 4))
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
