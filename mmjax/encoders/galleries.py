"""Pictures or documents that published encoders make searchable, without any training.

    index_pictures("photos", "models/clip-vit-base-patch32", "gallery")
    found = search_gallery("gallery", "a red heart", k=10)

A gallery's folder holds ``vectors.npy``, unit vectors of its entries, and ``gallery.json``: the
encoder, and a name and a title of each entry, for pictures the path of its file.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmjax.blocks.ranking.exact import ranked_ids
from mmjax.data.core.captioned import opened, picture_fault
from mmjax.data.core.checks import DataError
from mmjax.data.core.retrieval import RetrievalCorpus
from mmjax.data.io.files import atomic_path, atomic_write_text
from mmjax.data.io.readers import read_features
from mmjax.encoders.clip_pair import load_clip_pair
from mmjax.encoders.text.encoder import load_text_encoder
from mmjax.errors import UserError

PathLike = str | os.PathLike[str]
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
_NAMED = 5


class Found(NamedTuple):
    """An entry of a gallery that was found."""

    name: str
    """Path of a picture, id of a document."""
    title: str
    score: float
    """Cosine."""


def pictures_in(folder: PathLike) -> list[Path]:
    """The pictures of a folder at any depth, by path.

    Raises:
        UserError: there are none.
    """
    found = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in _PICTURES)
    if not found:
        raise UserError(
            f"{folder}: no pictures ({', '.join(sorted(_PICTURES))}); name their folder"
        )
    return found


def index_pictures(
    pictures: Sequence[Path],
    encoder: PathLike,
    out: PathLike,
    *,
    titles: Sequence[str] | None = None,
    cache: PathLike | None = None,
) -> int:
    """Encode pictures by a published CLIP and keep them as a gallery; returns how many.

    Args:
        pictures: their files, all of which are opened before the first is encoded.
        encoder: folder of a CLIP.
        out: folder of the gallery, new or empty.
        titles: of each; default is the file's name.
        cache: see `mmjax.encoders.image.encoder.ImageEncoder.encode`.

    Raises:
        DataError: pictures cannot be read, with their names.
        UserError: the output is not empty.
        WeightsError: the folder does not hold both towers.
    """
    _free(out)
    faults = [x for p in pictures if (x := picture_fault(p.read_bytes(), str(p)))]
    if faults:
        some = "; ".join(faults[:_NAMED])
        raise DataError(f"{len(faults):,} of {len(pictures):,} pictures: {some}")
    pair = load_clip_pair(encoder)
    images = [opened(p.read_bytes(), str(p)) for p in pictures]
    vectors = pair.images.encode(images, cache=cache)
    names = [str(p.resolve()) for p in pictures]
    _save(out, vectors, names, titles or [p.stem for p in pictures], "pictures", encoder)
    return len(names)


def index_texts(corpus: RetrievalCorpus, encoder: PathLike, out: PathLike) -> int:
    """Encode the documents of a collection by a sentence encoder; returns how many.

    Raises:
        UserError: the output is not empty.
        WeightsError: the folder holds no sentence encoder.
    """
    _free(out)
    vectors = load_text_encoder(encoder, normalise=True).encode(corpus.passages)
    titles = [t or x[:80] for t, x in zip(corpus.titles, corpus.texts, strict=True)]
    _save(out, vectors, list(corpus.document_ids), titles, "texts", encoder)
    return len(titles)


def search_gallery(gallery: PathLike, query: str, *, k: int = 10) -> list[Found]:
    """The k entries nearest to some words by cosine, best first; all if there are fewer.

    Raises:
        UserError: there is no gallery, no word, or k is below 1.
    """
    if k < 1 or not query.strip():
        raise UserError(f"--k {k}, words {query!r}: give 1 or more of both")
    folder = Path(gallery)
    if not (folder / "gallery.json").is_file():
        raise UserError(f"{folder} holds no gallery: make one by the command index")
    about: dict[str, Any] = json.loads((folder / "gallery.json").read_text(encoding="utf-8"))
    vectors = read_features(folder / "vectors.npy")
    if len(vectors) != len(about["names"]):
        raise DataError(f"{folder}: {len(vectors)} vectors of {len(about['names'])} entries")
    if about["kind"] == "pictures":
        texts = load_clip_pair(about["encoder"]).texts
    else:
        texts = load_text_encoder(about["encoder"], normalise=True)
    (ids,), (scores,) = ranked_ids(
        texts.encode([query], progress=False), vectors, min(k, len(vectors))
    )
    names, titles = about["names"], about["titles"]
    return [Found(names[n], titles[n], float(s)) for n, s in zip(ids, scores, strict=True)]


def _free(out: PathLike) -> None:
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"--out {path} is there already and is not empty; name another folder")


def _save(
    out: PathLike,
    vectors: np.ndarray,
    names: list[str],
    titles: Sequence[str],
    kind: str,
    encoder: PathLike,
) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "vectors.npy") as path, open(path, "wb") as file:
        np.save(file, vectors)
    place = Path(encoder)
    about = {"kind": kind, "encoder": str(place.resolve() if place.exists() else encoder)}
    about |= {"names": names, "titles": list(titles)}
    text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    atomic_write_text(folder / "gallery.json", text)
