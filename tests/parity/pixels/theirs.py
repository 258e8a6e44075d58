"""Small images as the processors of transformers, on Pillow, prepare them.

    python -m tests.parity.pixels.theirs

writes `reference/pixels.npz`. Needs PyTorch, transformers (extra `parity`) and Pillow, not JAX.
"""

from typing import Any

import numpy as np
import transformers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tests.parity.common.records import reference, save
from tests.parity.pixels.case import CASES, images

KINDS: dict[str, Any] = {
    "ViTImageProcessor": ViTImageProcessorPil,
    "DeiTImageProcessor": DeiTImageProcessorPil,
    "CLIPImageProcessor": CLIPImageProcessorPil,
}


def main() -> None:
    """Write the reference; arrays are [images, rows, columns, channels]."""
    record = {}
    for name, settings in CASES.items():
        options = {k: v for k, v in settings.items() if k != "image_processor_type"}
        processor = KINDS[settings["image_processor_type"]](**options)
        pixels = processor(images(), return_tensors="np", input_data_format="channels_last")
        record[name] = np.asarray(pixels["pixel_values"]).transpose(0, 2, 3, 1)
    save(reference("pixels", "pixels"), record, dtype=np.float32)
    print(f"transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
