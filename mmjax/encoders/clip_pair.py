"""Both towers of a published CLIP, from one folder."""

import os
from typing import NamedTuple

from mmjax.encoders.image.encoder import ImageEncoder, load_image_encoder
from mmjax.encoders.text.encoder import TextEncoder, load_text_encoder


class ClipPair(NamedTuple):
    """Encoders whose unit vectors of images and of texts are compared by inner products."""

    images: ImageEncoder
    texts: TextEncoder


def load_clip_pair(folder: str | os.PathLike[str]) -> ClipPair:
    """Load the image and the text encoder of a folder; needs the extra ``text``.

    Args:
        folder: a local copy of what the publisher offers, or a repository of the hub.

    Raises:
        WeightsError: the folder does not hold both towers.
        ImportError: the extra is not installed.
    """
    return ClipPair(
        load_image_encoder(folder, pooling="own", normalise=True),
        load_text_encoder(folder, pooling="own", normalise=True),
    )
