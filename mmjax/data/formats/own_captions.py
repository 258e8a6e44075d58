"""Captioned pictures of one's own: a table, COCO or Karpathy JSON, or a folder with one of these.

- a table (CSV, TSV, JSON lines, Parquet) with a row a caption; columns are found by name: the
  picture's path (image, path, filename, ...), the caption (caption, text, title, ...), and the
  split where there is one (split, part, subset);
- COCO JSON, whose captions stand in ``annotations`` and name an ``image_id``;
- the JSON of A. Karpathy and L. Fei-Fei (arXiv 1412.2306).

Paths of pictures are relative to the file that names them; else they are found below its folder, or
below `images`, by their file name. All are opened before anything is encoded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmjax.data.core.captioned import CAPTION, SPLITS, CaptionedImages, picture_fault
from mmjax.data.core.checks import DataError
from mmjax.data.core.retrieval import whole_text
from mmjax.data.io.readers import PathLike
from mmjax.data.io.records import first_of, records_of, word_of

IMAGE = (
    "image",
    "image_path",
    "path",
    "filename",
    "file_name",
    "file",
    "img",
    "picture",
    "image_id",
)
TEXT = ("caption", "text", "title", "sentence", "description", "comment", "raw")
SPLIT = ("split", "part", "subset")
PARTS = {"train": 0, "restval": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2}
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".json")
_NAMES = ("captions", "annotations", "dataset", "metadata")
_NAMED = 5
Row = tuple[int, str, str, str]
"""Row in the file, picture, split ("" where it says none) and caption."""


def load_captions(
    path: PathLike,
    *,
    images: PathLike | None = None,
    name: str = "",
    image: str = "",
    text: str = "",
    split: str = "",
    ratio: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    check: bool = True,
) -> CaptionedImages:
    """Captioned pictures from a file, or from the one file with captions in a folder.

    Args:
        path: see the module.
        images: folder of the pictures; default is that of the file.
        name: of the data; default is the file's, or the folder's.
        image, text, split: columns of a table; default is what the module lists.
        ratio: of training, validation and test pictures, where the file does not say the split.
        seed: of the pictures that are dealt by `ratio`.
        check: open every picture now.

    Raises:
        FileNotFoundError: there is no such file, or no file with captions in the folder.
        DataError: a row without picture or caption, with its number; an unknown split, a picture
            of two splits; pictures that are missing or cannot be read, with their names.
    """
    file = _file(Path(path))
    wanted = (image, text, split)
    rows = _json(file) if file.suffix == ".json" else _table(file, wanted)
    place: dict[str, int] = {}
    parts: list[str] = []
    texts: list[tuple[int, str]] = []
    for row, picture, part, caption in rows:
        caption = " ".join(whole_text(caption).split())
        if not picture or not caption:
            raise DataError(f"{file}, row {row}: no {'caption' if picture else 'picture'}")
        if part and part not in PARTS:
            raise DataError(f"{file}, row {row}: split {part!r}; known are {', '.join(PARTS)}")
        number = place.setdefault(picture, len(place))
        if number == len(parts):
            parts.append(part)
        if parts[number] != part:
            raise DataError(f"{file}, row {row}: {picture} is of {parts[number]!r} and {part!r}")
        texts.append((number, caption))
    if not place:
        raise DataError(f"{file}: no captions")
    files = _pictures(file, list(place), Path(images) if images else file.parent)
    if check:
        _readable(file, files)
    about, words = zip(*texts, strict=True)
    return CaptionedImages(
        name=name or (Path(path).resolve().name if Path(path).is_dir() else file.stem),
        image_ids=tuple(place),
        split=_splits(file, parts, ratio, seed),
        text=words,
        image=np.array(about, np.int32),
        kind=np.full(len(words), CAPTION, np.int32),
        encoded=lambda number: files[number].read_bytes(),
        source=str(path),
    )


def _file(path: Path) -> Path:
    if path.is_file():
        if path.suffix not in _TABLES:
            raise DataError(f"{path}: give a file that ends in {', '.join(_TABLES)}")
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder; give that of the captions")
    there = sorted(p for p in path.iterdir() if p.suffix in _TABLES and p.is_file())
    named = [p for p in there if any(word in p.stem.lower() for word in _NAMES)]
    found = named if len(named) == 1 else there
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise FileNotFoundError(f"{path}: give the path of its file with captions; it has {names}")
    return found[0]


def _table(file: Path, wanted: tuple[str, str, str]) -> Iterator[Row]:
    where, rows = records_of(file, "captions")
    for row, given in rows:
        record = {str(key).strip().lower(): value for key, value in given.items()}
        cells = []
        for column, names in zip(wanted, (IMAGE, TEXT, SPLIT), strict=True):
            known = (column.lower(),) if column else names
            if names is not SPLIT and not set(known) & set(record):
                raise DataError(
                    f"{where}: the columns {', '.join(record)} hold none of {', '.join(known)}"
                )
            cells.append(word_of(first_of(record, known)).strip())
        yield row, cells[0], cells[2], cells[1]


def _json(file: Path) -> Iterator[Row]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if "annotations" in content:
            yield from _coco(file, content)
        else:
            row = 0
            for entry in content["images"]:
                for sentence in entry["sentences"]:
                    row += 1
                    yield row, _karpathy_path(entry), entry.get("split", ""), sentence["raw"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{file}: neither captions of COCO (images, annotations) nor of Karpathy (images with "
            f"sentences): {error!r}"
        ) from None


def _karpathy_path(entry: Mapping[str, Any]) -> str:
    return "/".join(p for p in (entry.get("filepath", ""), entry["filename"]) if p)


def _coco(file: Path, content: Mapping[str, Any]) -> Iterator[Row]:
    images = {image["id"]: image for image in content["images"]}
    for row, entry in enumerate(content["annotations"], 1):
        if entry["image_id"] not in images:
            raise DataError(f"{file}, annotation {row}: image_id {entry['image_id']} is unknown")
        image = images[entry["image_id"]]
        yield row, image["file_name"], image.get("split", ""), entry["caption"]


def _pictures(file: Path, names: list[str], folder: Path) -> list[Path]:
    """The file of each picture; whatever is missing is named at once."""
    below: dict[str, list[Path]] | None = None
    files, missing = [], []
    for name in names:
        found = folder / name
        if not found.is_file():
            if below is None:
                below = {}
                for path in sorted(folder.rglob("*")):
                    below.setdefault(path.name, []).append(path)
            like = below.get(Path(name).name, [])
            if len(like) > 1:
                raise DataError(f"{file}: {name} may be {like[0]} or {like[1]}; give its path")
            if not like:
                missing.append(name)
                continue
            found = like[0]
        files.append(found)
    if missing:
        raise DataError(
            f"{file}: {len(missing):,} of {len(names):,} pictures are not in {folder}, such as "
            f"{', '.join(missing[:_NAMED])}; put them there or give the folder of the pictures"
        )
    return files


def _readable(file: Path, files: list[Path]) -> None:
    faults = [(p, fault) for p in files if (fault := picture_fault(p.read_bytes(), str(p)))]
    if faults:
        some = "; ".join(fault for _, fault in faults[:_NAMED])
        raise DataError(f"{file}: {len(faults):,} of {len(files):,} pictures: {some}")


def _splits(file: Path, parts: list[str], ratio: Sequence[float], seed: int) -> np.ndarray:
    told = [bool(part) for part in parts]
    if all(told):
        return np.array([PARTS[part] for part in parts], np.int32)
    if any(told):
        raise DataError(f"{file}: only {sum(told):,} of {len(parts):,} pictures have a split")
    shares = np.asarray(ratio, np.float64)
    if len(shares) != len(SPLITS) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise DataError(f"ratio {tuple(ratio)}: give three shares, of 0 or more, not all 0")
    if len(parts) < 3:
        raise DataError(f"{file}: {len(parts)} pictures are too few to deal to three splits")
    ends = np.round(np.cumsum(shares) / shares.sum() * len(parts)).astype(int)
    split = np.zeros(len(parts), np.int32)
    order = np.random.default_rng(seed).permutation(len(parts))
    for number in (1, 2):
        split[order[ends[number - 1] : ends[number]]] = number
    return split
