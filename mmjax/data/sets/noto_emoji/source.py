"""The shipped emoji: 72-pixel pictures with a name and tags each.

Names are the captions; the tags of an emoji are its pseudo query, also of those that are tested,
as AVG (arXiv 2407.17274) tells a model the gallery through machine-made captions.
"""

import hashlib
from pathlib import Path

import numpy as np

from mmjax.data.core.captioned import CAPTION, PSEUDO, CaptionedImages
from mmjax.data.sets.common.source import DataSource, check_shipped

FILE = "emoji.parquet"
SHIPPED = {FILE: "c8e1206d429bfcdada23d94485792e09c364f474fdc69c8d20f0fd374b17cfd2"}
HOMEPAGE = "https://github.com/googlefonts/noto-emoji"
LICENCE = "Apache-2.0 and OFL-1.1 (pictures), MIT and Unicode licence (names and tags)"


def read(directory: Path) -> CaptionedImages:
    """All emoji but the variants of skin tone and the letters of flags, split 8 : 1 : 1.

    Raises:
        DataError: the file is missing or is not the one that was shipped.
    """
    from pyarrow import parquet

    check_shipped(directory, SHIPPED)
    table = parquet.read_table(directory / FILE)
    ids, names, tags = (table[column].to_pylist() for column in ("id", "name", "tags"))
    files = table["image"]
    texts = [(row, CAPTION, name) for row, name in enumerate(names)]
    texts += [(row, PSEUDO, line) for row, line in enumerate(tags) if line]
    image, kind, text = zip(*texts, strict=True)
    return CaptionedImages(
        name="noto_emoji",
        image_ids=tuple(ids),
        split=np.array([split_of(key) for key in ids], np.int32),
        text=text,
        image=np.array(image, np.int32),
        kind=np.array(kind, np.int32),
        encoded=lambda row: files[row].as_py(),
        source=f"{HOMEPAGE}, shipped with mmjax ({LICENCE}); split by hash",
    )


def split_of(key: str) -> int:
    """Place in `SPLITS` by a hash of the id, so that more emoji change no other's split."""
    place = hashlib.sha256(key.encode()).digest()[0] % 10
    return {0: 2, 1: 1}.get(place, 0)


SOURCE = DataSource(
    name="noto_emoji",
    kind="captioned",
    homepage=HOMEPAGE,
    licence=LICENCE,
    read=read,
    shipped=SHIPPED,
)
