"""Checkpoints that are damaged, cannot be written, or hold what numpy does not know."""

import json
import random
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.training.best import load_best
from mmjax.training.checkpoints import CheckpointError, Checkpoints, restore
from mmjax.training.naming import named, nested, slashed, unnamed
from mmjax.training.progress import Progress
from mmjax.training.selection import Selection
from tests.training.run_toy import train

ROOT = Path(__file__).parents[2]


def arrays(n):
    rng = np.random.default_rng(abs(n))
    return {
        "params/user": rng.normal(size=(7, 3)).astype(np.float32),
        "params/half": np.asarray(jnp.asarray(rng.normal(size=5), jnp.bfloat16)),
        "params/none": np.zeros((0, 3), np.float32),
        "step": np.asarray(n, np.int32),
        "flags": np.asarray([True, False]),
        "minus": np.asarray([-0.0, np.nan, np.inf], np.float32),
    }


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A directory to which three checkpoints were written, of which two are kept."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    checkpoints = Checkpoints(directory, keep=2)
    for n in (1, 2, 3):
        checkpoints.save(arrays(n), arrays(-n), {"n": n})
    checkpoints.wait()
    checkpoints.close()
    return directory


def test_round_trip_bit_for_bit(written):
    saved = restore(written)
    assert saved is not None
    assert sorted(p.name for p in written.iterdir()) == ["2", "3"]
    assert saved.meta == {"n": 3} and saved.path.name == "3"
    assert_same(saved.state, arrays(3))
    assert_same(saved.best, arrays(-3))


def test_numbers_go_on_after_a_restart(tmp_path):
    for n in (1, 2):
        checkpoints = Checkpoints(tmp_path, keep=2)
        checkpoints.save(arrays(n), {}, {"n": n})
        checkpoints.close()
    saved = restore(tmp_path)
    assert saved is not None and saved.meta == {"n": 2} and saved.best == {}
    assert {p.name for p in tmp_path.iterdir()} == {"1", "2"}


def test_nothing_to_restore(tmp_path):
    assert restore(tmp_path / "absent") is None
    (tmp_path / "7.orbax-checkpoint-tmp").mkdir()
    assert restore(tmp_path) is None


def damages():
    """Every file flipped in one bit, or truncated, or removed."""
    rng = random.Random(0)
    for kind in ("flip", "truncate", "remove"):
        for item in ("state", "best", "meta", "seal.json", ""):
            yield kind, item, rng.random(), rng.random()


@pytest.mark.parametrize(("kind", "item", "where", "place"), list(damages()))
def test_damage_is_noticed_and_the_earlier_checkpoint_used(written, kind, item, where, place):
    folder = written / "3"
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.stat().st_size]
    files = [f for f in files if f.relative_to(folder).as_posix().startswith(item)]
    file = files[int(where * len(files))]
    content = file.read_bytes()
    if kind == "flip":
        at = int(place * len(content))
        file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
    elif kind == "truncate":
        file.write_bytes(content[: int(place * len(content))])
    else:
        file.unlink()
    try:
        if kind == "remove" and file.name == "seal.json":
            saved, n = restore(written), 3
        else:
            with pytest.warns(UserWarning, match=r"3 is damaged; using the earlier one .*2 \("):
                saved, n = restore(written), 2
        assert saved is not None and saved.meta == {"n": n}
        assert_same(saved.state, arrays(n))
    finally:
        file.write_bytes(content)


def test_a_wrong_array_is_noticed_without_the_seal(written):
    """Orbax alone would accept arrays that are not those that were saved."""
    seal = written / "3" / "seal.json"
    content = seal.read_text()
    (written / "3" / "state").rename(written / "own")
    (written / "3" / "best").rename(written / "3" / "state")
    (written / "own").rename(written / "3" / "best")
    seal.unlink()
    try:
        with pytest.warns(UserWarning, match="without their checksum"):
            saved = restore(written)
        assert saved is not None and saved.meta == {"n": 2}
    finally:
        (written / "3" / "state").rename(written / "own")
        (written / "3" / "best").rename(written / "3" / "state")
        (written / "own").rename(written / "3" / "best")
        seal.write_text(content)


def test_none_usable_is_an_error_and_nothing_is_moved(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    for n in (1, 2):
        checkpoints.save(arrays(n), {}, {"n": n})
    checkpoints.wait()
    checkpoints.close()
    for n in "12":
        (tmp_path / "c" / n / "meta" / "metadata").write_bytes(b"")
    with pytest.raises(CheckpointError, match="(?s)no checkpoint in .* can be read.*2.*1.*remove"):
        restore(tmp_path / "c", set_aside=tmp_path / "damaged")
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"1", "2"}


def test_a_run_goes_on_from_the_earlier_checkpoint(tmp_path):
    options = {"epochs": 6}
    expected = train(tmp_path / "whole", options)
    broken = tmp_path / "parts"
    train(broken, options)
    newest = max((broken / "checkpoints").iterdir(), key=lambda p: int(p.name))
    file = next((newest / "state" / "d").iterdir())
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged and was moved to .*damaged"):
        resumed = train(broken, options)
    assert (broken / "damaged" / f"{newest.name}-1" / "state").is_dir()
    for a, b in zip(named(resumed.state).values(), named(expected.state).values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert load_best(broken).finished


@pytest.mark.process
@pytest.mark.parametrize("victim", ["checkpoints", "metrics"])
def test_a_full_disk_is_one_error_and_leaves_earlier_results(tmp_path, victim):
    """A file size limit stands in for the disk: the arrays, or the records, outgrow it."""
    limit = {"checkpoints": 40_000, "metrics": 14_000}[victim]
    saves = {"checkpoints": 0.0, "metrics": 1e6}[victim]
    options = json.dumps({"epochs": 300, "save_seconds": saves})
    code = (
        "import resource; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY)); "
        "from tests.training import run_toy; "
        "run_toy.PAUSE = 0; "
        f"run_toy.main({str(tmp_path / 'run')!r}, {options!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    if victim == "checkpoints":
        assert "CheckpointError: could not write a checkpoint" in last
        assert "disk is full" in last and "free some space" in last
        assert not list((tmp_path / "run" / "checkpoints").glob("*tmp*"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert max(load_best(tmp_path / "run").epoch) > 1
    else:
        assert "File too large" in last and "metrics.jsonl" in last and "mend this" in last


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/|", codec="utf-8"), min_size=1, max_size=4),
        st.integers(0, 3),
        max_size=4,
    )
)
def test_names_are_reversible(sizes):
    tree = {
        "params": {k: np.full(n, 1.0, np.float32) for k, n in sizes.items()},
        "step": np.int32(2),
    }
    flat = slashed(tree)
    assert jax.tree.structure(nested(flat)["step"]) == jax.tree.structure(2)
    back = unnamed(named(tree), tree)
    jax.tree.map(np.testing.assert_array_equal, back, tree)


def test_names_that_collide():
    with pytest.raises(ValueError, match="same name"):
        slashed({"a/b": 1, "a|b": 2})


def test_unnamed_lists_what_does_not_fit():
    like = {"a": jnp.zeros((2, 3)), "b": jnp.zeros(2), "key": jax.random.key(0)}
    found = named(like) | {"a": np.zeros((2, 4), np.float32), "c": np.zeros(1)}
    del found["b"]
    with pytest.raises(ValueError) as caught:
        unnamed(found, like)
    message = str(caught.value)
    assert "b is missing" in message and "c is not expected" in message
    assert "a is float32(2, 4), expected float32(2, 3)" in message


def test_progress_survives_json():
    progress = Progress.start((3, 4))
    progress.add({"loss": np.asarray([[0.1, 0.2], [1 / 3, np.pi]], np.float32)})
    progress.selection[1] = Selection(5, 0.1 + 0.2, 9)
    back = Progress.from_json(json.loads(json.dumps(progress.to_json())))
    assert back == progress
    assert back.active.tolist() == [True, False]
