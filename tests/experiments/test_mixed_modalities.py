"""Synthetic experiment E0 of MetaMMF: weights of its own let one layer read every kind of item."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from experiments.meta_mmf import analysis
from experiments.meta_mmf.analysis import WIDTHS, cold_recall, depth, depth_table, widths_of
from experiments.meta_mmf.config import EPOCHS, Depth
from mmjax.data.core.interactions import validate
from mmjax.data.synthetic.interactions import mixed_modalities


@pytest.mark.slow
def test_item_specific_weights_beat_static_ones_in_one_layer():
    recall = {
        form: cold_recall(form, depth=1, rate=3e-3, seed=0, epochs=EPOCHS)
        for form in ("static", "CP", "full tensor")
    }
    assert recall["static"] > 0.1
    assert recall["CP"] >= 1.4 * recall["static"], recall
    assert recall["full tensor"] >= recall["CP"], recall


def test_widened_static_nets_have_as_many_weights():
    for n, widths in WIDTHS.items():
        wide = widths_of("static, as many weights", n)
        assert len(wide) == n and wide[-1] == 32
        assert widths_of("CP", n) == widths
        sizes = [(52, *widths), (52, *wide)]
        plain, more = (sum(p * q for p, q in zip(s, s[1:], strict=False)) for s in sizes)
        assert more >= plain + (n > 1) * 3000


def test_the_curve_goes_on_where_it_stopped(tmp_path, monkeypatch):
    calls = []

    def stand_in(form, depth, rate, seed, epochs):
        calls.append((form, depth, rate, seed))
        if len(calls) == 7:
            raise KeyboardInterrupt
        return 0.1 * depth + rate + (0.01 * seed if seed < 10 else 0) + 0.2 * (form == "CP")

    monkeypatch.setattr(analysis, "cold_recall", stand_in)
    flags = Depth(tmp_path, seeds=2, depths=(1, 2), epochs=1)
    with pytest.raises(KeyboardInterrupt):
        depth(flags)
    assert depth(flags).exists()
    # A single static layer has nothing to widen and is trained once.
    assert len(calls) == (3 + 4) * (3 + 2) + 1
    curve = json.loads((tmp_path / "depth.json").read_text())["curve"]
    assert [p["form"] for p in curve[::2]] == list(analysis.DEPTH_FORMS)
    assert all(p["rate"] == 1e-2 for p in curve)
    assert curve[4]["recall@10"] == pytest.approx([0.31, 0.32])
    table = depth_table(curve)
    assert "| CP | **0.315 ± 0.007** | **0.415 ± 0.007** |" in table


def test_made_as_described():
    data, cold = mixed_modalities(3)
    validate(data)
    assert (data.n_users, data.n_items, len(cold)) == (800, 1200, 240)
    assert {name: x.shape[1] for name, x in data.features.items()} == {
        "audio": 16,
        "image": 16,
        "kind": 4,
        "text": 16,
    }
    assert_array_equal(np.bincount(data.train[:, 0]), np.full(800, 40))
    assert_array_equal(np.bincount(data.test[:, 0]), np.full(800, 10))
    assert not set(cold) & set(data.train[:, 1]) and set(data.test[:, 1]) <= set(cold)
    assert data.digest == mixed_modalities(3).data.digest != mixed_modalities(4).data.digest


def test_the_taste_stands_where_the_kind_says():
    """A projection of 8 dimensions to 16 leaves half of the singular values at zero."""
    data, _ = mixed_modalities(0)
    kind = data.features["kind"].argmax(1)
    x = [data.features[name] for name in ("image", "audio", "text")]
    for k in range(4):
        blocks = [*x, x[0] - x[1]]
        ranks = [int(np.linalg.matrix_rank(b[kind == k], tol=1e-3)) for b in blocks]
        assert ranks == [8 if b == k else 16 for b in range(4)]
    assert_allclose(data.features["kind"].sum(1), 2)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="needs 40 warm items, there are 16"):
        mixed_modalities(n_items=20)
    with pytest.raises(ValueError, match="needs 10 cold items, there are 0"):
        mixed_modalities(cold_share=0.0)
