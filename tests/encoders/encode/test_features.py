"""Vectors on disk: nothing twice, nothing of another model, nothing damaged; rows over devices."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mmjax.data.core.checks import DataError
from mmjax.encoders.encode import features
from mmjax.encoders.encode.features import Features, key
from mmjax.encoders.encode.rows import Runner
from mmjax.encoders.text.encoder import load_text_encoder
from tests.encoders.sentences import clip_folder

WORDS = ("<s>", "<pad>", "</s>", "[UNK]", "a", "red", "dress", "shoe", "and", "blue", "<end>")
TEXTS = ["red", "a dress", "", "blue and red", "a", "red", "shoe", "a red shoe", "dress"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """CLIP's tower of texts, out of a file of both towers."""
    folder = clip_folder(tmp_path_factory.mktemp("clip"))
    return load_text_encoder(folder, devices=jax.devices()[:1])


@pytest.fixture
def counted(clip):
    """An encoder of its own, and a list of the rows that it really computes a batch."""
    encoder, rows = replace(clip), []
    run = clip._run

    def count(ids, mask):
        rows.append(int(mask.any(1).sum()))
        return run(ids, mask)

    object.__setattr__(encoder, "_run", count)
    return encoder, rows


def test_vectors_of_clip_texts(clip):
    assert "ClipText, width 5, own pooling, 9 tokens" in repr(clip)
    assert clip.tokenize(["a red dress"]) == [[0, 4, 5, 6, 16]]
    got = clip.encode(TEXTS, batch_size=4, progress=False)
    ids = jnp.array(clip.tokenize(["a red dress"]))
    projected = np.asarray(jax.jit(clip.model.apply)({"params": clip.params}, ids).projected)[0]
    again = clip.encode(["a red dress", "a"], progress=False)
    assert_allclose(again[0], projected / np.linalg.norm(projected), atol=1e-5)
    assert_allclose(again[1], got[4], atol=1e-5)


@pytest.mark.multi
def test_one_device_and_eight_agree(clip):
    everywhere = replace(clip, devices=None)
    assert everywhere._run.devices == 8
    want = clip.encode(TEXTS, batch_size=9, progress=False)
    got = everywhere.encode(TEXTS, batch_size=9, progress=False)
    assert_allclose(got, want, atol=1e-6)
    assert everywhere.digest == clip.digest


@pytest.mark.multi
def test_rows_stay_on_their_devices():
    runner = Runner(lambda params, x: params * x, np.float32(2))
    out = runner(np.arange(20, dtype=np.float32).reshape(10, 2))
    assert {shard.data.shape for shard in out.addressable_shards} == {(2, 2)}
    assert_array_equal(out[:10], 2 * np.arange(20).reshape(10, 2))
    blank = jax.ShapeDtypeStruct((16, 2), np.float32)
    program = runner.compiled.lower(runner.params, (blank,)).as_text()
    assert not any(word in program for word in ("all_reduce", "all_gather", "permute"))


def test_nothing_is_computed_twice(counted, tmp_path):
    encoder, rows = counted
    want = encoder.encode(TEXTS, progress=False)
    rows.clear()
    first = encoder.encode(TEXTS[:6], progress=False, cache=tmp_path)
    assert sum(rows) == 5  # one text is there twice
    rows.clear()
    both = encoder.encode(TEXTS[::-1], progress=False, cache=tmp_path)
    assert sum(rows) == 3
    assert_array_equal(both[::-1][:6], first)
    assert_allclose(both[::-1], want, atol=1e-5)
    rows.clear()
    assert_array_equal(encoder.encode(TEXTS[::-1], progress=False, cache=tmp_path), both)
    assert rows == []
    # Another model and other settings have rows of their own.
    other = {**encoder.params, "positions": encoder.params["positions"] + 1e-6}
    digests = {replace(encoder, params=p).digest for p in (encoder.params, other)}
    assert len(digests | {replace(encoder, normalise=False).digest}) == 3


def test_an_interrupted_extraction_goes_on(counted, tmp_path):
    encoder, rows = counted
    run = encoder._run

    def fail(ids, mask):
        if sum(rows) == 6:
            raise KeyboardInterrupt
        return run(ids, mask)

    object.__setattr__(encoder, "_run", fail)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(TEXTS, batch_size=2, progress=False, cache=tmp_path)
    rows.clear()
    object.__setattr__(encoder, "_run", run)
    got = encoder.encode(TEXTS, batch_size=2, progress=False, cache=tmp_path)
    assert sum(rows) == 8 - 4  # the batch under way when it was stopped is lost
    assert_allclose(got, encoder.encode(TEXTS, progress=False), atol=1e-5)


def test_the_vectors_of_all_layers(clip, tmp_path):
    with pytest.raises(ValueError, match="choose the pooling 'cls' or 'mean'"):
        replace(clip, layers=True)
    encoder = replace(clip, layers=True, pooling="mean", normalise=False)
    ids = jnp.array(clip.tokenize(["a red dress"]))
    hidden = jax.jit(clip.model.apply)({"params": clip.params}, ids).hidden
    for _ in range(2):  # computed, then read
        got = encoder.encode(["a", "a red dress"], progress=False, cache=tmp_path)
        assert got.shape == (2, 3, 8)
        assert_allclose(got[1], [x[0].mean(0) for x in hidden], atol=1e-5)
    first = replace(encoder, pooling="cls").encode(["a red dress"], progress=False)[0]
    assert_allclose(first, [x[0, 0] for x in hidden], atol=1e-5)


def test_a_bar_starts_at_what_is_known(clip, tmp_path, capsys):
    clip.encode(TEXTS[:4], progress=False, cache=tmp_path)
    clip.encode(TEXTS[:5], cache=tmp_path)
    assert "4/5" in capsys.readouterr().err


def test_parts_are_small_whole_and_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_ROWS", 3)
    keys, vectors = [key(bytes([n])) for n in range(7)], np.eye(7, dtype=np.float32)
    with pytest.raises(KeyError), Features(tmp_path, "m" * 64, (7,)) as store:
        for n in range(0, 7, 2):
            store.add(keys[n : n + 2], vectors[n : n + 2])
        raise KeyError
    parts = sorted(tmp_path.glob("*/part-*.npz"))
    assert len(parts) == 2
    store = Features(tmp_path, "m" * 64, (7,))
    places, found = store.find([keys[6], key(b"new"), keys[0], keys[6]])
    assert sorted(places.tolist()) == [0, 2, 3]
    assert_array_equal(found, vectors[[{0: 6, 2: 0, 3: 6}[n] for n in places.tolist()]])
    assert Features(tmp_path, "other", (7,)).find(keys)[1].shape == (0, 7)
    whole = parts[0].read_bytes()
    for damaged in (whole[:-9], whole[:-30] + b"x" + whole[-29:]):
        parts[0].write_bytes(damaged)
        with pytest.raises(DataError, match=r"part-.*: truncated or changed; remove it"):
            store.find(keys)


def test_keys_tell_bytes_apart():
    assert len({key(b"ab", b"c"), key(b"a", b"bc"), key(b"abc"), key(b"")}) == 4
