"""Trees of host data survive the disk as they are."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.training.artefacts import decode, digest, encode, read, write


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Table:
    codes: np.ndarray
    sizes: tuple[int, ...]
    more: dict[str, Any] = field(default_factory=dict)


TREE = {
    "file": np.arange(6, dtype=np.int32).reshape(2, 3).T,
    "a/b": [1, 2.5, None, True, "text", float("inf")],
    "is": (Pair(np.float32(0.1), np.array("x")), ()),
    "half": jnp.asarray([1.5, -2.0], jnp.bfloat16),
    "names": np.array(["one", "three"]),
    "empty": np.zeros((0, 4), np.float32),
    "table": Table(np.array([[True], [False]]), (2, 3), {"kind": {}}),
}


def assert_same(a, b):
    assert type(a) is type(b) or isinstance(b, jax.Array)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for name in a:
            assert_same(a[name], b[name])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, Table):
        assert_same(vars(a), vars(b))
    elif isinstance(a, np.ndarray):
        y = np.asarray(b)
        assert a.dtype == y.dtype and a.shape == y.shape and a.tobytes() == y.tobytes()
    else:
        assert a == b


def test_a_tree_comes_back_as_it_was(tmp_path):
    write(tmp_path / "a", encode(TREE), {"kind": "make"})
    manifest, encoded = read(tmp_path / "a")
    assert manifest["kind"] == "make"
    assert_same(decode(encoded, (Pair, Table)), TREE)
    assert digest(decode(encoded, (Pair, Table))) == digest(TREE)


def test_classes_that_are_not_named_keep_their_fields():
    loose = decode(encode(TREE))
    assert loose["table"].sizes == (2, 3) and loose["is"][0].left == np.float32(0.1)


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.ones(3, np.float32), "y": 2},
        {"x": np.ones(3), "y": 1},
        {"x": np.ones((3, 1), np.float32), "y": 1},
        {"z": np.ones(3, np.float32), "y": 1},
        {"x": np.ones(3, np.float32), "y": 1.0},
        {"x": np.ones(3, np.float32), "y": [1]},
        {"x": np.array([1, 1, 2], np.float32), "y": 1},
    ],
)
def test_digests_tell_content_apart(other):
    value = {"x": np.ones(3, np.float32), "y": 1}
    assert digest(value) == digest({"y": 1, "x": jnp.ones(3)}) != digest(other)


def test_a_digest_of_its_own_is_taken():
    class Data:
        digest = "abc"

    assert digest(Data()) == "abc"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [object()]}, "result/a/0 is a object"),
        ({1: 2}, "no strings"),
        ({"a": np.array([None])}, "result/a is an array of objects"),
        ({"key": jax.random.key(0)}, "result/key is a random key"),
        ({"a": {1, 2}}, "result/a is a set"),
    ],
)
def test_what_is_no_host_data(value, message):
    with pytest.raises(TypeError, match=message):
        encode(value)
