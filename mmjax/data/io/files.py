"""Writing files so that a reader sees the old content or the new one, never a half.

Everything is written under a temporary name in the same directory, flushed to the disk and
renamed. A process that is killed leaves a file `.tmp-*` behind and the target untouched.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mmjax.errors import UserError

TEMPORARY = ".tmp-"
"""Start of the name of every temporary file and directory."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = re.compile(r"No space left on device|\d+ requested and \d+ written")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    The directory is created when absent. The temporary name ends like `path`, so that writers
    that look at the suffix do the same. If the body raises or writes nothing, `path` stays as it
    was and the temporary file is removed.

    Raises:
        OSError: the disk is full (errno ENOSPC, with the path and what to do), or any other
            reason of the operating system.
    """
    target = Path(os.path.realpath(path))
    temporary = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _raise_if_full(error, target)
        raise


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it is renamed to `path`.

    If `path` has come into being meanwhile (another process was faster), that one stays and ours
    is removed: two processes that make the same thing at once both end with a whole one.

    Raises:
        OSError: the disk is full (errno ENOSPC, with the path and what to do), or any other
            reason of the operating system.
    """
    target = Path(os.path.realpath(path))
    temporary = _beside(target)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        try:
            os.rename(temporary, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            shutil.rmtree(temporary)
        _flush(target.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _raise_if_full(error, target)
        raise


def check_writable(path: str | os.PathLike[str], flag: str, *, folder: bool = True) -> None:
    """Refuse a place that cannot be written, before any work.

    Folders above it are made, as writing would make them.

    Args:
        path: folder or file that is to be written.
        flag: what names it, for the error.
        folder: False for a file.

    Raises:
        UserError: it cannot be made or written; says why.
    """
    place = Path(path).expanduser().absolute()
    try:
        (place if folder else place.parent).mkdir(parents=True, exist_ok=True)
        if not folder and place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
        # Asking for the right is not enough: a file system may be read-only or full.
        with tempfile.TemporaryFile(dir=place if folder else place.parent):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror or error}); choose another {flag}"
        ) from error


def remove_directory(path: Path) -> None:
    """Remove a directory, if there is one, so that no one ever sees a part of it.

    Raises:
        OSError: it cannot be removed.
    """
    hidden = _beside(path)
    try:
        os.rename(path, hidden)
    except FileNotFoundError:
        return
    shutil.rmtree(hidden, ignore_errors=True)


def remove_leftovers(directory: Path, *, older_than: float = 86_400.0) -> None:
    """Remove what killed processes have left in `directory`: temporary files and directories
    not touched for `older_than` seconds.
    """
    for path in directory.glob(f"{TEMPORARY}*"):
        # Another process may remove it at the same moment, or may own it: either is fine.
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > older_than:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def atomic_write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file `path` by `content` in one step (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def atomic_write_text(path: str | os.PathLike[str], content: str) -> None:
    """Replace the file `path` by `content` as UTF-8 in one step (see `atomic_path`)."""
    atomic_write_bytes(path, content.encode("utf-8"))


def _beside(target: Path) -> Path:
    return target.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{target.name}")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems (FUSE, network mounts) refuse to sync a directory.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or path.is_file():
            raise
    finally:
        os.close(descriptor)


def _raise_if_full(error: BaseException, target: Path) -> None:
    """Turn `error` into one that says that the disk is full, if that is what happened."""
    # `ndarray.tofile` and array_record report a full disk by words instead of an error number.
    full = isinstance(error, Exception) and _FULL_WORDS.search(str(error))
    if full or (isinstance(error, OSError) and error.errno in _FULL):
        raise OSError(
            errno.ENOSPC,
            "no space left (disk full, or quota or file size limit reached); nothing was "
            "changed: free some space or choose another directory",
            str(target),
        ) from error
