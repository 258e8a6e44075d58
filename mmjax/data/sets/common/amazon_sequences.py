"""Amazon Beauty and Toys (2014, 5-core) as user sequences, from the files shipped with mmjax."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from mmjax.data.core.catalogue import attribute_of
from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.sequences import Sequences, offsets_of, validate_sequences
from mmjax.data.io.readers import as_features, read_npz
from mmjax.data.sets.common.source import InteractionSource, check_shipped

SEQUENCES, ITEMS, FEATURES = "sequences.npz", "items.parquet", "features_f16.npz"
ATTRIBUTES = ("category", "subcategory")


def amazon_sequences(name: str, shipped: Mapping[str, str]) -> InteractionSource:
    """The source of a data set whose package holds the files `shipped` (file -> SHA-256)."""
    return InteractionSource(
        name=name,
        kind="sequences",
        homepage="https://github.com/Linxyhaha/TransRec",
        licence="Research use (Amazon review data of McAuley et al.); no licence file",
        modalities=("text",) if FEATURES in shipped else (),
        attributes=ATTRIBUTES,
        read=partial(read_amazon_sequences, name=name, shipped=shipped),
        shipped=shipped,
    )


def read_amazon_sequences(directory: Path, name: str, shipped: Mapping[str, str]) -> Interactions:
    """The data set split leave-one-out by time, the rows of a user in order of time.

    Raises:
        DataError: a file is missing or is not the one that was shipped.
    """
    from pyarrow import parquet

    check_shipped(directory, shipped)
    arrays = read_npz(directory / SEQUENCES, ("items", "lengths"))
    items = parquet.read_table(directory / ITEMS)
    features = read_npz(directory / FEATURES, ("text",)) if FEATURES in shipped else {}
    lengths = arrays["lengths"]
    sequences = Sequences(
        name=name,
        n_users=len(lengths),
        n_items=items.num_rows,
        items=arrays["items"].astype(np.int32),
        offsets=offsets_of(lengths.astype(np.int64)),
        features={key: as_features(array, where=key) for key, array in features.items()},
        user_ids=np.arange(1, len(lengths) + 1),
        titles=np.array(items["title"].to_pylist()),
        # Names of categories have commas of their own.
        item_tags=[
            ",".join(part.replace(", ", "/") for part in path)
            for path in items["categories"].to_pylist()
        ],
        attributes={key: attribute_of(items[key].to_pylist()) for key in ATTRIBUTES},
        source="Amazon reviews 2014, 5-core, shipped with mmjax (research use)",
    )
    return validate(validate_sequences(sequences).to_interactions())
