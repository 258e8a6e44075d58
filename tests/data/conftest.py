"""A data set small enough to check by hand, as an object and as a folder in the MMRec format."""

import dataclasses

import numpy as np
import pytest

from mmjax.data.core.interactions import Interactions
from mmjax.data.core.splits import partition, split_labels
from mmjax.data.formats.mmrec import save_mmrec
from mmjax.data.registry import SOURCES, builder
from mmjax.data.sets.common.amazon import Published, amazon

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


@pytest.fixture(scope="session")
def builder_of():
    """The TFDS builder of a data set, by name."""
    return builder


@pytest.fixture
def save_folder():
    """Writes the stand-in for Baby as a folder in the MMRec format."""
    return lambda data, path: save_mmrec(dataclasses.replace(data, name="baby"), path)


@pytest.fixture
def baby(monkeypatch, builder_of):
    """A small stand-in for Baby, published under its name, and the data it should come out as."""
    rng = np.random.default_rng(0)
    n_users, n_items = 40, 60
    user = np.repeat(np.arange(n_users), rng.integers(5, 30, size=n_users))
    item = np.concatenate([rng.permutation(n_items)[:n] for n in np.bincount(user)])
    pairs = np.stack([user, item], axis=1).astype(np.int32)
    train, valid, test = partition(pairs, split_labels("mmrec", user))
    data = Interactions(
        name="amazon_baby",
        split="mmrec",
        n_users=n_users,
        n_items=n_items,
        train=train,
        valid=valid,
        test=test,
        features={
            "image": rng.normal(size=(n_items, 8)).astype(np.float32),
            "text": rng.normal(size=(n_items, 3)).astype(np.float32),
        },
        user_ids=np.array([f"A{n}" for n in range(n_users)]),
        item_ids=np.array([f"B{n}" for n in range(n_items)]),
    )
    distinct = tuple(len(np.unique(part[:, 1])) for part in (train, valid, test))
    published = Published(n_users, n_items, (len(train), len(valid), len(test)), distinct)
    small = amazon("amazon_baby", "baby", published)
    monkeypatch.setitem(SOURCES, "amazon_baby", small)
    monkeypatch.setattr(builder_of("amazon_baby"), "SOURCE", small)
    return data
