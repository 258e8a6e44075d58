"""Makes the shipped file from what it is derived from.

    python -m mmjax.data.sets.noto_emoji.prepare TABLE PICTURES

TABLE is a parquet file with key, base, label, tags, gemoji_tags and group of each emoji: file names
of googlefonts/noto-emoji (commit b3e3051) joined with milesj/emojibase (commit a5fc630) and
github/gemoji (commit 5476a66). PICTURES is a zip of the repository's `png/72`, as WebP without
loss, by key. Variants of skin tone and emoji without a group (the letters of flags) are left out;
pictures are put on white and stored as WebP of quality 80.
"""

import io
import sys
import zipfile
from pathlib import Path

from mmjax.data.sets.common.source import package_directory
from mmjax.data.sets.noto_emoji.source import FILE


def main(table: Path, pictures: Path) -> None:
    """Read both and write the package's file."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = parquet.read_table(table).to_pylist()
    rows = sorted(
        (row for row in rows if row["key"] == row["base"] and row["group"]),
        key=lambda row: row["key"],
    )
    with zipfile.ZipFile(pictures) as archive:
        images = [_reduced(archive.read(f"{row['key']}.webp")) for row in rows]
    tags = [", ".join(dict.fromkeys([*row["tags"], *row["gemoji_tags"]])) for row in rows]
    columns = {
        "id": [row["key"] for row in rows],
        "name": [row["label"] for row in rows],
        "tags": tags,
        "group": [row["group"] for row in rows],
        "image": pa.array(images, pa.binary()),
    }
    parquet.write_table(
        pa.table(columns),
        package_directory("noto_emoji") / FILE,
        compression="zstd",
        compression_level=19,
    )


def _reduced(content: bytes) -> bytes:
    from PIL import Image

    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    white.alpha_composite(picture)
    out = io.BytesIO()
    white.convert("RGB").save(out, "WEBP", quality=80, method=6)
    return out.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
