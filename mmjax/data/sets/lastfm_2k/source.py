"""Reads the shipped files of Last.fm 2K."""

from pathlib import Path

import numpy as np

from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.splits import partition
from mmjax.data.formats.mmrec import read_inter
from mmjax.data.io.readers import as_features, read_npz
from mmjax.data.sets.common.source import InteractionSource, check_shipped

_MODALITIES = {
    "text_minilm": "text",
    "audio_vggish": "audio_vggish",
    "audio_whisper": "audio_whisper",
}

_SHIPPED = {
    "lfm2k.inter.gz": "a2d0b3859f1afa1d5ff6c2535fea7bbd4258b9d14cbf7924a0d1739aa32559d5",
    "features_f16.npz": "52d537e220922d15121f188c3486bf9a8e5260ad9f69aaa315314a564733e517",
    "items.parquet": "fe50f164944845ad4614ce19bb8b33248a18059ead0eea46c8c77c7941dd595f",
    "users.parquet": "407ad2e9afeaee295bd0998b9d375bd41adc91bbb904cd6d25f01b89336c47c3",
    "HETREC_readme.txt": "6fe5d1e6f67b025fc50cd70883dd1a1ff16c5ff37b5b7abfb33644b83468b209",
}


def read(directory: Path) -> Interactions:
    """Last.fm 2K from its shipped files.

    Raises:
        DataError: a file is missing or is not the one that was shipped.
    """
    from pyarrow import parquet

    check_shipped(directory, _SHIPPED)
    pairs, labels, _ = read_inter(directory / "lfm2k.inter.gz")
    train, valid, test = partition(pairs, labels)
    items = parquet.read_table(directory / "items.parquet")
    users = parquet.read_table(directory / "users.parquet")
    features = read_npz(directory / "features_f16.npz", _MODALITIES)
    return validate(
        Interactions(
            name="lastfm_2k",
            split="mmrec",
            n_users=users.num_rows,
            n_items=items.num_rows,
            train=train,
            valid=valid,
            test=test,
            features={
                new: as_features(features[old], where=old) for old, new in _MODALITIES.items()
            },
            user_ids=users["userID"].to_numpy(),
            item_ids=items["artistID"].to_numpy(),
            titles=np.array(items["name"].to_pylist()),
            item_tags=items["tags"].to_pylist(),
            source="HetRec 2011 Last.fm 2K, shipped with mmjax (non-commercial research)",
        )
    )


SOURCE = InteractionSource(
    name="lastfm_2k",
    licence="Non-commercial research only (HetRec 2011; commercial use: ask Last.fm)",
    homepage="https://grouplens.org/datasets/hetrec-2011/",
    read=read,
    modalities=tuple(_MODALITIES.values()),
    shipped=_SHIPPED,
)
