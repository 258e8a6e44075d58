"""Data sets by name: prepared by TFDS, cached, made again when damaged, never half there."""

import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmjax.data import loading
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import sorted_by_user
from mmjax.data.loading import load
from mmjax.data.registry import find
from mmjax.data.sets.common.source import package_directory

LASTFM = "f5513d1e008bead87bb9158e55db995760d562b7588bee7944adc94faa0a510d"
"""Digest of Last.fm 2K: everything that anyone computes on it starts from exactly this."""


@pytest.fixture
def options(baby, save_folder, tmp_path):
    """Arguments of `load` for a small data set that has been prepared."""
    save_folder(baby, tmp_path / "mine")
    options = {"data_dir": tmp_path / "data", "manual_dir": tmp_path / "mine"}
    load("amazon_baby", **options)
    return options


def entry(root, name="lastfm_2k"):
    (path,) = (root / name).iterdir()
    return path


def mapped(array):
    """Whether the memory of an array is that of a file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def run(script, **env):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def test_the_first_load_prepares_and_says_so(tmp_path, capsys):
    first = load("lastfm_2k", data_dir=tmp_path)
    printed = capsys.readouterr()
    assert "preparing lastfm_2k in" in printed.err and "(once)" in printed.err
    assert printed.out == ""
    again = load("lastfm_2k", data_dir=tmp_path)
    assert capsys.readouterr().err == ""
    assert first.digest == again.digest == LASTFM
    assert sorted(path.name for path in entry(tmp_path).iterdir()) == ["arrays", "tfds"]


def test_the_cache_gives_what_the_files_hold(tmp_path):
    direct = sorted_by_user(find("lastfm_2k").read(package_directory("lastfm_2k")))
    cached = load("lastfm_2k", data_dir=tmp_path)
    assert direct.digest == cached.digest == LASTFM
    assert (direct.name, direct.source) == (cached.name, cached.source)
    assert cached.user_ids.dtype == direct.user_ids.dtype
    for array in (cached.train, *cached.features.values()):
        assert mapped(array) and not array.flags.writeable


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, "changed") for file in ("train.npy", "features-image.npy", "names.json")),
        *(("manifest.json", damage) for damage in ("truncated", "changed", "gone", "empty")),
        *(("test.npy", damage) for damage in ("truncated", "gone", "empty")),
    ],
)
def test_a_damaged_cache_is_made_again(baby, options, file, damage):
    path = entry(options["data_dir"], "amazon_baby") / "arrays" / file
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(raw) // 2
        broken = raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]
        path.write_bytes({"truncated": raw[:-9], "changed": broken, "empty": b""}[damage])
    if (file, damage) == ("manifest.json", "changed"):
        path.write_text(json.dumps({**json.loads(raw), "format": 0}))
    with pytest.warns(UserWarning, match="arrays.*making the cache again"):
        assert load("amazon_baby", **options).digest == baby.digest
    assert load("amazon_baby", **options).digest == baby.digest


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("interactions", "records"),
        ("interactions", "info"),
        ("items", "records"),
        ("users", "gone"),
    ],
)
def test_a_damaged_tfds_directory_is_prepared_again(baby, options, table, damage):
    directory = entry(options["data_dir"], "amazon_baby") / "tfds" / "amazon_baby" / table / "1.0.0"
    if damage == "gone":
        shutil.rmtree(directory)
    elif damage == "info":
        (directory / "metadata.json").write_text("{")
    else:
        for file in directory.glob("*array_record*"):
            file.write_bytes(file.read_bytes()[:100])
    load("amazon_baby", **options)  # not needed as long as the arrays are sound
    shutil.rmtree(entry(options["data_dir"], "amazon_baby") / "arrays")
    with pytest.warns(UserWarning, match="preparing amazon_baby again"):
        assert load("amazon_baby", **options).digest == baby.digest
    assert load("amazon_baby", **options).digest == baby.digest


def test_arrays_are_made_from_a_sound_tfds_directory(baby, options, monkeypatch):
    shutil.rmtree(entry(options["data_dir"], "amazon_baby") / "arrays")
    monkeypatch.setattr("mmjax.data.sets.common.interactions_builder.prepare", None)
    assert load("amazon_baby", **options).digest == baby.digest


def test_without_a_place_to_write_the_files_are_read_directly(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot write the cache.*lastfm_2k directly"):
        assert load("lastfm_2k", data_dir=tmp_path / "file").digest == LASTFM
    assert (tmp_path / "file").read_text() == "in the way"


def test_without_array_record_the_files_are_read_directly(tmp_path, monkeypatch):
    def missing(*_):
        raise ModuleNotFoundError("No module named 'array_record'")

    monkeypatch.setattr("mmjax.data.sets.common.interactions_builder.prepare", missing)
    with pytest.warns(UserWarning, match="No module named 'array_record'.*directly"):
        assert load("lastfm_2k", data_dir=tmp_path).digest == LASTFM


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(builder, data, directory):
        (directory / "half").write_text("x")
        raise RuntimeError("write() failed: No space left on device")

    monkeypatch.setattr("mmjax.data.sets.common.interactions_builder.prepare", full)
    with pytest.warns(UserWarning, match="no space left"):
        assert load("lastfm_2k", data_dir=tmp_path).digest == LASTFM
    assert list(entry(tmp_path).iterdir()) == []


def test_a_shipped_file_that_was_changed_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / "package"
    shutil.copytree(package_directory("lastfm_2k"), copy)
    monkeypatch.setattr("mmjax.data.sets.common.source.package_directory", lambda name: copy)
    path = copy / "features_f16.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="features_f16.npz: not the file that was shipped"):
        load("lastfm_2k", data_dir=tmp_path / "data")
    path.unlink()
    with pytest.raises(DataError, match="features_f16.npz: missing; it is part of mmjax"):
        load("lastfm_2k", data_dir=tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.npy"))


def test_the_default_directory(tmp_path, monkeypatch):
    monkeypatch.setenv(loading.VARIABLE, str(tmp_path / "env"))
    assert loading._data_dir(None) == tmp_path / "env"
    assert loading._data_dir(tmp_path) == tmp_path
    monkeypatch.delenv(loading.VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loading._data_dir(None) == tmp_path / ".cache" / "mmjax"


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ValueError, match="no data set 'lastfm'; choose lastfm_2k, .*load_mmrec"):
        load("lastfm")
    with pytest.raises(ValueError, match="choose amazon_beauty, .*tiktok"):
        load("beauty")


@pytest.mark.process
def test_tensorflow_and_jax_stay_out(tmp_path):
    fake = tmp_path / "fake" / "tensorflow"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    path = os.pathsep.join([str(Path.cwd()), str(tmp_path / "fake")])
    script = f"""
import sys
import mmjax.data
assert not {{"jax", "pyarrow", "tensorflow_datasets"}} & sys.modules.keys()
for _ in range(2):
    digest = mmjax.data.load("lastfm_2k", data_dir={str(tmp_path / "data")!r}).digest
    assert digest == {LASTFM!r}
assert not {{"jax", "tensorflow"}} & sys.modules.keys()
"""
    done = run(script, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    done = run(script + "assert 'tensorflow_datasets' not in sys.modules", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_killed_at_any_moment_the_next_load_succeeds(tmp_path):
    script = f"""
import mmjax.data.sets.common.interactions_builder, mmjax.data
print("go", flush=True)
mmjax.data.load("lastfm_2k", data_dir={str(tmp_path)!r})
"""
    for delay in (0.05, 0.2, 0.4, 0.7, 1.1):
        child = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert load("lastfm_2k", data_dir=tmp_path).digest == LASTFM
    old = time.time() - 7200
    for leftover in entry(tmp_path).glob(".tmp-*"):
        os.utime(leftover, (old, old))
    load("lastfm_2k", data_dir=tmp_path)
    assert sorted(path.name for path in entry(tmp_path).iterdir()) == ["arrays", "tfds"]


@pytest.mark.process
def test_two_processes_at_once(tmp_path):
    script = f"""
import mmjax.data.sets.common.interactions_builder, mmjax.data
print(mmjax.data.load("lastfm_2k", data_dir={str(tmp_path)!r}).digest)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        out, err = child.communicate()
        assert out.strip() == LASTFM, err
    assert sorted(path.name for path in entry(tmp_path).iterdir()) == ["arrays", "tfds"]
