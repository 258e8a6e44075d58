"""Writing in one step: all or nothing, whatever goes wrong."""

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mmjax.data.io import files


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_text_and_bytes_arrive_whole(tmp_path):
    files.atomic_write_text(tmp_path / "new" / "a.txt", "ü\n")
    files.atomic_write_bytes(tmp_path / "new" / "a.bin", b"\0\1")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ü\n".encode()
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"\0\1"
    assert names(tmp_path / "new") == ["a.bin", "a.txt"]


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    with files.atomic_path(tmp_path / "x.npy") as path:
        np.save(path, np.arange(3))
        assert path.parent == tmp_path and path.suffix == ".npy"
        assert names(tmp_path) == [path.name]
    assert names(tmp_path) == ["x.npy"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.atomic_path(target) as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    files.atomic_write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "real.txt").read_text() == "new"
    assert (tmp_path / "link.txt").is_symlink()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("729600 requested and 278496 written"),
        RuntimeError("write() failed: No space left on device; writing x"),
    ],
)
def test_a_full_disk_is_one_clear_error(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="no space left.*nothing was changed.*a.txt") as caught:
        with files.atomic_path(target) as path:
            path.write_text("half")
            raise error
    assert caught.value.errno == errno.ENOSPC
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_other_errors_pass_as_they_are(tmp_path):
    with pytest.raises(OSError, match="5 eggs"), files.atomic_path(tmp_path / "a") as path:
        path.write_text("x")
        raise OSError("5 eggs")


def test_a_real_write_beyond_the_limit(tmp_path):
    # The limit is set by the child itself: a hook before its start would fork this process,
    # which JAX warns about.
    script = f"""
import resource, signal
import numpy as np
from mmjax.data.io.files import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    with atomic_path({str(tmp_path / "big.npy")!r}) as path:
        np.save(path, np.zeros(1 << 20))
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "no space left" in done.stdout and "big.npy" in done.stdout, done.stderr
    assert names(tmp_path) == []


def test_a_directory_arrives_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "set"
    with pytest.raises(RuntimeError), files.atomic_directory(target) as path:
        (path / "a").write_text("half")
        raise RuntimeError
    assert names(tmp_path / "deep") == []
    with files.atomic_directory(target) as path:
        (path / "sub").mkdir()
        (path / "sub" / "a").write_text("whole")
        assert not target.exists()
    assert names(tmp_path / "deep") == ["set"]
    assert (target / "sub" / "a").read_text() == "whole"


def test_the_faster_of_two_makers_of_a_directory_wins(tmp_path):
    target = tmp_path / "set"
    with files.atomic_directory(target) as slow:
        (slow / "a").write_text("slow")
        with files.atomic_directory(target) as fast:
            (fast / "a").write_text("fast")
    assert (target / "a").read_text() == "fast"
    assert names(tmp_path) == ["set"]


def test_removing_a_directory_that_is_not_there_is_fine(tmp_path):
    files.remove_directory(tmp_path / "none")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_text("x")
    files.remove_directory(tmp_path / "set")
    assert names(tmp_path) == []


def test_only_old_leftovers_are_removed(tmp_path):
    (tmp_path / ".tmp-1-a").write_text("x")
    (tmp_path / ".tmp-2-b").mkdir()
    (tmp_path / ".tmp-3-c").write_text("x")
    (tmp_path / "kept").write_text("x")
    old = time.time() - 7200
    for name in (".tmp-1-a", ".tmp-2-b", "kept"):
        os.utime(tmp_path / name, (old, old))
    files.remove_leftovers(tmp_path, older_than=3600.0)
    assert names(tmp_path) == [".tmp-3-c", "kept"]
    files.remove_leftovers(tmp_path / "none")
