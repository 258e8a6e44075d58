"""Text features of a data set's items: title and categories, read by a published encoder.

    python -m experiments.tiger.features --model FOLDER --out FILE [--data NAME]

FOLDER is a local copy of an encoder, such as all-MiniLM-L6-v2; FILE becomes a `.npy`, float16
``[i, m]`` with the items in the order of the data set. Made once: the result is what
`mmjax.data.sets.amazon_beauty.prepare` takes as TEXT. Needs the extra ``text``.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mmjax.data import Sequences, load
from mmjax.data.io.files import atomic_path


@dataclass(frozen=True)
class Options:
    """What to encode, and by what."""

    model: Path
    """Folder of the encoder."""
    out: Path
    """The .npy file to write."""
    data: str = "amazon_beauty"
    """Data set whose items have titles and tags."""
    batch_size: int = 128
    """Texts that the device reads at once."""


def texts(data: Sequences) -> list[str]:
    """``title | category, category, ...`` of every item.

    Raises:
        ValueError: the data set has no titles or no tags.
    """
    if data.titles is None or data.item_tags is None:
        raise ValueError(f"{data.name} has no titles or no tags: no texts to encode")
    pairs = zip(data.titles, data.item_tags, strict=True)
    return [f"{title} | {tags.replace(',', ', ')}" if tags else str(title) for title, tags in pairs]


def main(options: Options) -> None:
    """Encode the texts and write the file.

    Raises:
        ValueError: the file is no .npy, or the data set has no texts.
    """
    if options.out.suffix != ".npy":
        raise ValueError(f"--out must end in .npy, got {options.out}")
    from mmjax.encoders.text.encoder import load_text_encoder

    encoder = load_text_encoder(options.model)
    vectors = encoder.encode(
        texts(load(options.data, kind="sequences")), batch_size=options.batch_size
    )
    with atomic_path(options.out) as temporary:
        np.save(temporary, vectors.astype(np.float16))
    print(f"{options.out}: {vectors.shape[0]:,} items, width {vectors.shape[1]}", file=sys.stderr)


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m experiments.tiger.features"))
