"""Reads the shipped files of TikTok."""

from pathlib import Path

from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.io.index_arrays import read_index_arrays
from mmjax.data.io.readers import as_features, read_npz
from mmjax.data.sets.common.source import InteractionSource, check_shipped

_SHIPPED = {
    "interactions.npz": "b18d34fa2ff5c617a78094292323fa4a7641d579e19853d660c3877fb98d51ba",
    "features_f16.npz": "1e11798157b43e4b171beb74dd03c6037c01181afdf80dba50889ca589628f69",
}


def read(directory: Path) -> Interactions:
    """TikTok from its shipped files.

    Raises:
        DataError: a file is missing or is not the one that was shipped.
    """
    check_shipped(directory, _SHIPPED)
    n_users, n_items, train, valid, test = read_index_arrays(directory / "interactions.npz")
    features = read_npz(directory / "features_f16.npz", ("image", "audio"))
    return validate(
        Interactions(
            name="tiktok",
            split="mmssl",
            n_users=n_users,
            n_items=n_items,
            train=train,
            valid=valid,
            test=test,
            features={name: as_features(array, where=name) for name, array in features.items()},
            source="TikTok of MMSSL/DiffMM, shipped with mmjax (research)",
        )
    )


SOURCE = InteractionSource(
    name="tiktok",
    licence="Research only; released without a licence file (from the ICME 2019 challenge)",
    homepage="https://github.com/HKUDS/MMSSL",
    read=read,
    modalities=("image", "audio"),
    shipped=_SHIPPED,
)
