"""Reads the shipped files of ml_small_mm."""

from pathlib import Path

import numpy as np

from mmjax.data.core.catalogue import attribute_of
from mmjax.data.core.interactions import Interactions, validate
from mmjax.data.core.splits import partition, split_labels, split_name
from mmjax.data.io.readers import as_features, read_npz
from mmjax.data.sets.common.source import InteractionSource, check_shipped

_SPLIT, _SEED = "random-8:1:1", 0
_ATTRIBUTES = ("genre", "decade", "language", "popularity", "acclaim", "certificate", "studio")
_SHIPPED = {
    "interactions.npz": "d837bf60ee2835794e64d34c9b74646e50fc98040a45fd7dd6364ed9b0506110",
    "items.parquet": "591000ccf7fddca7390a7fb72511611121468d089a5b7f7049ded97a006ec491",
    "features_f16.npz": "c79ce97e1147e11dcfbf17e521bf16488a994e5f48ab35fd9f801566dae0162c",
    "GROUPLENS_README.txt": "63d22ac138e80fae37021797ed8e1b9424b5239dc576a137422adf783ae3f404",
}


def read(directory: Path) -> Interactions:
    """ml_small_mm from its shipped files.

    Raises:
        DataError: a file is missing or is not the one that was shipped.
    """
    from pyarrow import parquet

    check_shipped(directory, _SHIPPED)
    arrays = read_npz(directory / "interactions.npz", ("user", "item", "user_ids"))
    items = parquet.read_table(directory / "items.parquet")
    features = read_npz(directory / "features_f16.npz", ("text", "image"))
    pairs = np.stack([arrays["user"], arrays["item"]], axis=1).astype(np.int32)
    train, valid, test = partition(pairs, split_labels(_SPLIT, pairs[:, 0], seed=_SEED))
    return validate(
        Interactions(
            name="ml_small_mm",
            split=split_name(_SPLIT, _SEED),
            n_users=len(arrays["user_ids"]),
            n_items=items.num_rows,
            train=train,
            valid=valid,
            test=test,
            features={name: as_features(array, where=name) for name, array in features.items()},
            user_ids=arrays["user_ids"].astype(np.int64),
            item_ids=items["movieId"].to_numpy(),
            titles=np.array(items["title"].to_pylist()),
            item_tags=[genres.replace("|", ",") for genres in items["genres"].to_pylist()],
            attributes={name: attribute_of(items[name].to_pylist()) for name in _ATTRIBUTES},
            source="MovieLens latest-small, shipped with mmjax (non-commercial)",
        )
    )


SOURCE = InteractionSource(
    name="ml_small_mm",
    licence="Non-commercial; redistribution under the same terms (GroupLens); features from TMDB "
    "and OMDb text and posters, non-commercial with attribution",
    homepage="https://grouplens.org/datasets/movielens/latest/",
    read=read,
    modalities=("text", "image"),
    attributes=_ATTRIBUTES,
    shipped=_SHIPPED,
)
