"""Text features of items: what is read, and the file that comes out."""

import types

import numpy as np
import pytest

from experiments.tiger import analysis
from experiments.tiger.analysis import features, texts
from experiments.tiger.config import Features
from mmjax.data import Sequences


def _data(**known):
    return Sequences(
        name="few",
        n_users=1,
        n_items=3,
        items=np.array([0, 1, 2], np.int32),
        offsets=np.array([0, 3]),
        **known,
    )


FULL = _data(
    titles=np.array(["Neon Polish", "Dry Shampoo", "Wig"]),
    item_tags=["Makeup,Nails", "Hair Care", ""],
)


def test_title_and_categories():
    assert texts(FULL) == ["Neon Polish | Makeup, Nails", "Dry Shampoo | Hair Care", "Wig"]
    with pytest.raises(ValueError, match="few has no titles or no tags"):
        texts(_data(titles=FULL.titles))


def test_a_row_an_item_in_half_precision(tmp_path, monkeypatch):
    def encode(said, batch_size):
        assert batch_size == 128
        return np.array([[len(text), 0.1] for text in said], np.float32)

    encoder = types.SimpleNamespace(encode=encode)
    monkeypatch.setattr("mmjax.encoders.text.encoder.load_text_encoder", lambda folder: encoder)
    monkeypatch.setattr(analysis, "load", lambda name, kind: FULL)
    out = tmp_path / "features.npy"
    features(Features(model=tmp_path, out=out))
    stored = np.load(out)
    assert stored.dtype == np.float16
    np.testing.assert_array_equal(stored[:, 0], [len(text) for text in texts(FULL)])
    assert [p.name for p in tmp_path.iterdir()] == ["features.npy"]
    with pytest.raises(ValueError, match=r"--out must end in \.npy"):
        features(Features(model=tmp_path, out=tmp_path / "features.txt"))
