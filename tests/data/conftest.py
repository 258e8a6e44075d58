"""A data set small enough to check by hand, as an object and as a folder in the MMRec format."""

import numpy as np
import pytest

from mmjax.data.interactions import Interactions

INTER = """userID\titemID\trating\ttimestamp\tx_label
0\t0\t5.0\t10\t0
0\t1\t4.0\t11\t0
0\t2\t3.0\t12\t1
0\t3\t5.0\t13\t2
1\t1\t5.0\t20\t0
1\t3\t1.0\t21\t0
1\t0\t2.0\t22\t1
1\t2\t2.0\t23\t2
2\t3\t2.0\t33\t0
"""


@pytest.fixture
def tiny() -> Interactions:
    """Three users, five items (item 4 was never touched), two modalities, names for all."""
    rng = np.random.default_rng(0)
    return Interactions(
        name="tiny",
        split="mmrec",
        n_users=3,
        n_items=5,
        train=np.array([[0, 0], [0, 1], [1, 1], [1, 3], [2, 3]], np.int32),
        valid=np.array([[0, 2], [1, 0]], np.int32),
        test=np.array([[0, 3], [1, 2]], np.int32),
        features={
            "text": rng.normal(size=(5, 4)).astype(np.float32),
            "image": rng.normal(size=(5, 3)).astype(np.float32),
        },
        user_ids=np.array(["ann", "bob", "cy"]),
        item_ids=np.array([10, 11, 12, 13, 14]),
        titles=np.array(["Alpha", "Beta", "Gamma", "alpha", "Épsilon"]),
        item_tags=("rock", "rock,pop", "", "jazz", "pop"),
        source="by hand",
    )


@pytest.fixture
def folder(tmp_path, tiny):
    """The same as a folder in the MMRec format, called `shop`."""
    path = tmp_path / "shop"
    path.mkdir()
    (path / "shop.inter").write_text(INTER)
    for name, array in tiny.features.items():
        np.save(path / f"{name}_feat.npy", array)
    (path / "u_id_mapping.csv").write_text("user_id\tuserID\nann\t0\nbob\t1\ncy\t2\n")
    (path / "i_id_mapping.csv").write_text("asin\titemID\nB2\t2\nB0\t0\n0001\t1\nB3\t3\nB4\t4\n")
    return path
