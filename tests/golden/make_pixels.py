"""Write `pixels.npz`: small images as the processors of transformers, on Pillow, prepare them.

    python -m tests.golden.make_pixels

Needs PyTorch, transformers (extra `parity`) and Pillow, not JAX.
"""

from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tests.parity.pixel_cases import CASES, images
from tests.parity.records import save

KINDS: dict[str, Any] = {
    "ViTImageProcessor": ViTImageProcessorPil,
    "DeiTImageProcessor": DeiTImageProcessorPil,
    "CLIPImageProcessor": CLIPImageProcessorPil,
}


def main() -> None:
    """Write the file beside this script; arrays are [images, rows, columns, channels]."""
    record = {}
    for name, settings in CASES.items():
        options = {k: v for k, v in settings.items() if k != "image_processor_type"}
        processor = KINDS[settings["image_processor_type"]](**options)
        pixels = processor(images(), return_tensors="np", input_data_format="channels_last")
        record[name] = np.asarray(pixels["pixel_values"]).transpose(0, 2, 3, 1)
    save(Path(__file__).parent / "pixels.npz", record, dtype=np.float32)
    print(f"transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
