"""Makes the shipped files of amazon_beauty and amazon_toys from the files they are derived from.

    python -m mmjax.data.sets.amazon_beauty.prepare SOURCE TARGET [TEXT]

SOURCE is the folder `data/beauty/rec_data` or `data/toys/rec_data` of Linxyhaha/TransRec (commit
da14d53), with `sequential_data.txt` (a line per user: its number, then the items in order of
time), `title_maps.npy` and `category_map.npy`. These two are pickled dictionaries, which are read
without unpickling them (see `mmjax.data.io.pickled`). TEXT is an optional `.npy` matrix of text
features, one row per item in the order of the items' numbers.
"""

import html
import sys
from pathlib import Path

import numpy as np

from mmjax.data.core.checks import DataError, check_features
from mmjax.data.io.pickled import read_plain_npy
from mmjax.data.io.readers import read_features
from mmjax.data.sets.common.amazon_sequences import FEATURES, ITEMS, SEQUENCES
from mmjax.data.sets.ml_small_mm.prepare import frequent


def main(source: Path, target: Path, text: Path | None = None) -> None:
    """Read `source` and write the sequences, the items and, if given, the features to `target`."""
    import pyarrow as pa
    from pyarrow import parquet

    items, lengths = read_sequences(source / "sequential_data.txt")
    titles = _by_item(source / "title_maps.npy", "id2title")
    paths = [below_root(path) for path in _by_item(source / "category_map.npy", "id2category")]
    if len(titles) != len(paths) or items.max() >= len(titles):
        raise DataError(
            f"{source}: {len(titles)} titles, {len(paths)} categories, items up to {items.max()}; "
            "the files do not belong together"
        )
    target.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        target / SEQUENCES, items=items.astype(np.int16), lengths=lengths.astype(np.int16)
    )
    table = pa.table(
        {
            "title": [" ".join(html.unescape(title).split()) for title in titles],
            "categories": pa.array(paths, pa.list_(pa.string())),
            "category": frequent(path[0] if path else "" for path in paths),
            "subcategory": frequent(" > ".join(path[:2]) if path[1:] else "" for path in paths),
        }
    )
    parquet.write_table(table, target / ITEMS, compression="zstd")
    if text is not None:
        features = read_features(text)
        check_features(features, n_items=len(titles), where=str(text))
        np.savez_compressed(target / FEATURES, text=features.astype(np.float16))


def read_sequences(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The items of all users, one user after the other, and how many each has.

    Raises:
        DataError: the users are not numbered 1, 2, 3, ...
    """
    rows = [np.array(line.split(), np.int64) for line in path.read_text().splitlines()]
    if [int(row[0]) for row in rows] != list(range(1, len(rows) + 1)):
        raise DataError(f"{path}: users are not numbered 1, 2, 3, ...; copy the file again")
    lengths = np.array([len(row) - 1 for row in rows])
    return np.concatenate([row[1:] for row in rows]), lengths


def below_root(paths: list[list[str]]) -> list[str]:
    """The first of an item's category paths, without the department that it begins with."""
    return paths[0][1:]


def _by_item(path: Path, key: str) -> list:
    """The values of a dictionary from the numbers 0, 1, 2, ..., which are strings, in order."""
    values = read_plain_npy(path)[key]
    if set(values) != {str(n) for n in range(len(values))}:
        raise DataError(f"{path}: items are not numbered 0, 1, 2, ...; copy the file again")
    return [values[str(n)] for n in range(len(values))]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
