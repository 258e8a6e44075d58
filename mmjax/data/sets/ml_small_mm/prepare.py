"""Makes the shipped files of ml_small_mm from the films, ratings and posters it is derived from.

    python -m mmjax.data.sets.ml_small_mm.prepare SOURCE TARGET

SOURCE holds `ratings.parquet` (userId, movieId), `items.parquet` (one row a film: movieId, title,
genres, overview, tagline, original_language, companies, vote_count, vote_average, omdb_plot,
omdb_rated) and `posters_92px.zip` (`<movieId>.jpg`). No pretrained model is used. Reading the
posters needs Pillow; nothing else in mmjax does.

Axes: i items, w words, d features.
"""

import io
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mmjax.data.formats.events import k_core_mask

TEXT_WIDTH = 128
GRID = (3, 2)
"""Cells of a poster, down and across."""
_WORD = re.compile(r"[a-z]{3,}")
_LEVELS = {
    "popularity": ("emerging", "moderate", "popular", "super popular"),
    "acclaim": ("low", "fair", "good", "high"),
}


def main(source: Path, target: Path) -> None:
    """Read `source` and write interactions.npz, items.parquet and features_f16.npz to `target`."""
    import pyarrow as pa
    from pyarrow import parquet

    items = parquet.read_table(source / "items.parquet").to_pylist()
    items = {row["movieId"]: row for row in items}
    ratings = parquet.read_table(source / "ratings.parquet")
    user, item = (ratings[n].to_numpy().astype(np.int64) for n in ("userId", "movieId"))
    keep = np.isin(item, list(items))
    keep[keep] = k_core_mask(user[keep], item[keep], 5)
    user_ids, users = np.unique(user[keep], return_inverse=True)
    item_ids, index = np.unique(item[keep], return_inverse=True)
    order = np.lexsort((index, users))
    np.savez_compressed(
        target / "interactions.npz",
        user=users[order].astype(np.int16),
        item=index[order].astype(np.int16),
        user_ids=user_ids.astype(np.int16),
    )
    rows = [items[i] for i in item_ids.tolist()]
    columns = {name: [row[name] for row in rows] for name in ("movieId", "title", "genres")}
    table = pa.table({**columns, **attributes(rows)})
    parquet.write_table(table, target / "items.parquet", compression="zstd")
    with zipfile.ZipFile(source / "posters_92px.zip") as posters:
        images = np.stack([poster_features(posters.read(f"{i}.jpg")) for i in item_ids.tolist()])
    image = (images - images.mean(0)) / np.maximum(images.std(0), 1e-6)
    fields = ("overview", "tagline", "omdb_plot")
    text = tfidf_svd([" ".join(row[f] or "" for f in fields) for row in rows], TEXT_WIDTH)
    np.savez_compressed(
        target / "features_f16.npz", text=text.astype(np.float16), image=image.astype(np.float16)
    )


def attributes(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Class names of the films by attribute."""
    genres = [[g for g in row["genres"].split("|") if g != "IMAX"] for row in rows]
    count = Counter(g for one in genres for g in one)
    studios = frequent((row["companies"] or "").split("|")[0] for row in rows)
    rated = {"Passed": "Approved"}
    return {
        # MovieLens lists genres by the alphabet; the rarest says most about a film.
        "genre": [min(one, key=lambda g: (count[g], g)) for one in genres],
        "decade": [_decade(row["title"]) for row in rows],
        "language": frequent(row["original_language"] for row in rows),
        "popularity": quarters([row["vote_count"] for row in rows], _LEVELS["popularity"]),
        "acclaim": quarters([row["vote_average"] for row in rows], _LEVELS["acclaim"]),
        "certificate": frequent(rated.get(row["omdb_rated"], row["omdb_rated"]) for row in rows),
        "studio": studios,
    }


def _decade(title: str) -> str:
    match = re.search(r"\((\d{4})\)\s*$", title)
    assert match is not None, f"no year in {title!r}"
    year = int(match[1])
    if year < 1950:
        return "before 1950"
    return f"{year // 10 * 10}s" if year < 1990 else "1990 and later"


def frequent(values: Iterable[str | None], min_count: int = 10) -> list[str]:
    """`values` with "other" for those of fewer than `min_count` items, and for empty ones."""
    values = list(values)
    count = Counter(values)
    return [v if v and count[v] >= min_count else "other" for v in values]


def quarters(values: Sequence[float], names: Sequence[str]) -> list[str]:
    """The quarter of the sorted values in which each one lies."""
    bounds = np.quantile(values, (0.25, 0.5, 0.75))
    return [names[int(n)] for n in np.searchsorted(bounds, values, side="right")]


def tfidf_svd(texts: Sequence[str], width: int) -> Float[np.ndarray, "i d"]:
    """Latent semantic analysis: the leading `width` components of the TF-IDF matrix.

    Words of three letters or more that at least 3 texts and at most a fifth of them have; weights
    ``(1 + log tf) (1 + log((1 + n) / (1 + df)))`` in rows of length one. Signs are those that make
    the largest loading of each component positive.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    spread = Counter(word for one in counts for word in one)
    words = sorted(w for w, n in spread.items() if 3 <= n <= len(texts) / 5)
    place = {word: n for n, word in enumerate(words)}
    x = np.zeros((len(texts), len(words)))
    for row, one in enumerate(counts):
        for word in one.keys() & place.keys():
            x[row, place[word]] = 1 + np.log(one[word])
    x *= 1 + np.log((1 + len(texts)) / (1 + np.array([spread[w] for w in words])))
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    top = np.abs(vt[:width]).argmax(1)
    return u[:, :width] * s[:width] * np.sign(vt[np.arange(width), top])


def poster_features(jpeg: bytes) -> Float[np.ndarray, "d"]:
    """Colours and edges of a poster, 102 numbers.

    Shares of 12 hues among the coloured pixels and of 6 levels of brightness; for each of 3 x 2
    cells mean and deviation of red, green and blue and the strength of edges in 8 directions.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(jpeg)).convert("RGB").resize((92, 138))
    rgb = np.asarray(picture, np.float64) / 255
    hue, saturation, value = np.moveaxis(np.asarray(picture.convert("HSV"), np.float64) / 256, 2, 0)
    hues = np.histogram(hue, 12, (0, 1), weights=saturation * value)[0]
    levels = np.histogram(value, 6, (0, 1))[0] / value.size
    grey = rgb.mean(2)
    down, across = np.gradient(grey)
    direction = (np.arctan2(down, across) / np.pi % 1.0 * 8).astype(int) % 8
    edges = np.eye(8)[direction] * np.hypot(down, across)[..., None]
    cells = [
        _cells(rgb, lambda x: x.mean((0, 1))),
        _cells(rgb, lambda x: x.std((0, 1))),
        _cells(edges, lambda x: np.sqrt(x.mean((0, 1)))),
    ]
    return np.concatenate([hues / max(hues.sum(), 1e-12), levels, *cells])


def _cells(x: np.ndarray, summary: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    rows = np.array_split(x, GRID[0], axis=0)
    return np.concatenate([summary(c) for r in rows for c in np.array_split(r, GRID[1], axis=1)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
