"""Images with captions, such as Flickr30K and COCO, from a folder that a user filled by hand.

Three forms are read, the first that is there:

- ``dataset_<name>.json`` by A. Karpathy and L. Fei-Fei (CVPR 2015, arXiv 1412.2306), whose split
  most papers use ("restval" counts as training);
- ``<name>_split_captions.json`` of AVG's released code (arXiv 2407.17274);
- ``captions*.parquet`` with columns image, caption and split.

Images lie in a folder at any depth, by their file names, or in one ``images*.zip``. Pseudo queries
are read from ``pseudo_query.json`` (`image_id` and a list `caption`) where there is one.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.data.core.captioned import CAPTION, PSEUDO, SPLITS, CaptionedImages
from mmjax.data.core.checks import DataError
from mmjax.data.io.readers import PathLike

CAPTIONS = "https://cs.stanford.edu/people/karpathy/deepimagesent"
_SPLIT = {"train": 0, "restval": 0, "val": 1, "valid": 1, "dev": 1, "test": 2}
_PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def load_caption_files(folder: PathLike, name: str, *, homepage: str = "") -> CaptionedImages:
    """The data set called `name`, which the names of its files begin with or end in.

    Images are read when they are needed.

    Args:
        folder: with captions and images.
        name: such as "flickr30k".
        homepage: where the images are published, for errors and for people.

    Raises:
        FileNotFoundError: files are missing; the message says which, and from where.
        DataError: a file is broken, an image is missing, or a split is unknown.
    """
    folder, homepage = Path(folder), homepage or "where they are published"
    file, rows = _captions(name, folder, homepage)
    images: dict[str, int] = {}
    split, texts = [], []
    for image, part, caption in rows:
        if part not in _SPLIT:
            raise DataError(f"{file}: split {part!r} of {image}; known are {', '.join(_SPLIT)}")
        row = images.setdefault(image, len(images))
        if row == len(split):
            split.append(_SPLIT[part])
        if split[row] != _SPLIT[part]:
            raise DataError(f"{file}: {image} is of two splits, {SPLITS[split[row]]} and {part}")
        texts.append((row, CAPTION, caption))
    if not images:
        raise DataError(f"{file}: no captions; copy it again")
    pseudo = folder / "pseudo_query.json"
    if pseudo.is_file():
        for image, query in _pseudo(pseudo):
            if image not in images:
                raise DataError(f"{pseudo}: {image} is no image of {file.name}")
            texts.append((images[image], PSEUDO, query))
    image, kind, text = zip(*texts, strict=True)
    return CaptionedImages(
        name=name,
        image_ids=tuple(images),
        split=np.array(split, np.int32),
        text=tuple(" ".join(line.split()) for line in text),
        image=np.array(image, np.int32),
        kind=np.array(kind, np.int32),
        encoded=_image_reader(folder, list(images), homepage),
        source=f"{homepage}, split of {file.name}",
    )


def _captions(
    name: str, folder: Path, homepage: str
) -> tuple[Path, Iterator[tuple[str, str, str]]]:
    """The file that is read, and image, split and caption of each of its captions."""
    karpathy = folder / f"dataset_{name}.json"
    own = folder / f"{name}_split_captions.json"
    tables = sorted(folder.glob("captions*.parquet"))
    if karpathy.is_file():
        return karpathy, _checked(karpathy, _karpathy)
    if own.is_file():
        return own, _checked(own, _split_captions)
    if tables:
        return tables[0], _checked(tables[0], _table)
    raise FileNotFoundError(
        f"{folder} has no {karpathy.name}, {own.name} or captions*.parquet: get the captions from "
        f"{CAPTIONS} and the images from {homepage}, and put both there"
    )


def _checked(
    path: Path, read: Callable[[Path], Iterator[tuple[str, str, str]]]
) -> Iterator[tuple[str, str, str]]:
    try:
        yield from read(path)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not as expected ({error!r}); copy it again") from None


def _karpathy(path: Path) -> Iterator[tuple[str, str, str]]:
    for image in _json(path)["images"]:
        for sentence in image["sentences"]:
            yield image["filename"], image["split"], sentence["raw"]


def _split_captions(path: Path) -> Iterator[tuple[str, str, str]]:
    for image, entry in _json(path).items():
        for caption in entry["caption"]:
            yield image, entry["split"], caption


def _table(path: Path) -> Iterator[tuple[str, str, str]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["image", "split", "caption"])
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not as expected ({error}); copy it again") from None
    columns = (table[column].to_pylist() for column in ("image", "split", "caption"))
    yield from zip(*columns, strict=True)


def _pseudo(path: Path) -> Iterator[tuple[str, str]]:
    try:
        for entry in _json(path):
            for query in entry["caption"]:
                yield entry["image_id"], query
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not as expected ({error!r}); copy it again") from None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _image_reader(folder: Path, images: list[str], homepage: str) -> Callable[[int], bytes]:
    """A function that reads the file of an image by its row."""
    archives = sorted(folder.glob("images*.zip"))
    paths = {p.name: p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES}
    if not paths and archives:
        try:
            archive = zipfile.ZipFile(archives[0])
        except zipfile.BadZipFile:
            raise DataError(f"{archives[0]} is no zip file; copy it again") from None
        members = {Path(member).name: member for member in archive.namelist()}
        _require(archives[0], images, members, homepage)
        return lambda row: archive.read(members[images[row]])
    _require(folder, images, paths, homepage)
    return lambda row: paths[images[row]].read_bytes()


def _require(place: Path, images: list[str], there: Any, homepage: str) -> None:
    missing = [image for image in images if image not in there]
    if missing:
        raise FileNotFoundError(
            f"{place} lacks {len(missing):,} of {len(images):,} images, such as {missing[0]}: get "
            f"them from {homepage}"
        )
