"""Checkpoints that a kill, a full disk or a flipped bit cannot turn into a wrong result.

A checkpoint is a directory ``<serial number>/`` with the items ``state`` (the training state),
``best`` (the best variables), both as nested dicts, and ``meta`` (JSON). Orbax writes it in the
background under a temporary name and renames it when it is whole, so the newest state and the
best parameters cannot disagree. `meta` carries a CRC-32 of every array and of itself, and a file
``seal.json`` that is added afterwards one of every file, which names the damaged one before Orbax
stumbles over it.
"""

import errno
import json
import logging
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orbax.checkpoint as ocp

from mmjax.data.io.files import atomic_write_text
from mmjax.errors import UserError
from mmjax.training.naming import Arrays, nested, slashed

FORMAT = 1
SEAL = "seal.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = ("no space left", "file too large", "quota exceeded", "resource_exhausted")
# One process writes and reads on behalf of all, so Orbax must not wait for the others.
_ALONE = ocp.options.MultiprocessingOptions(
    primary_host=0, active_processes={0}, barrier_sync_key_prefix="mmjax"
)


class CheckpointError(UserError):
    """A checkpoint could not be written, or none could be read."""


class Saved(NamedTuple):
    """The content of a checkpoint."""

    path: Path
    state: Arrays
    best: Arrays
    meta: dict[str, Any]
    """The description that the caller gave to `Checkpoints.save`."""


class _RaisedAnyway(logging.Filter):
    """Drops Orbax's log of exceptions in its threads: `wait` raises them again, as one error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or "orbax" not in record.pathname


class Checkpoints:
    """Writes the checkpoints of one run; used by one process only."""

    def __init__(self, directory: Path, keep: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.absolute()
        self._failed = False
        self._filter = _RaisedAnyway()
        logging.getLogger("absl").addFilter(self._filter)
        self._serial = max(_serials(self.directory), default=0)
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_names=("state", "best", "meta"),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=False,
                cleanup_tmp_directories=True,
                multiprocessing_options=_ALONE,
            ),
        )

    def save(self, state: Arrays, best: Arrays, meta: Mapping[str, Any]) -> None:
        """Start to write a checkpoint; the arrays may change as soon as this returns.

        Raises:
            CheckpointError: this checkpoint or the one before could not be written. Those that
                were whole before still are.
        """
        items = {"state": state, "best": best}
        body = json.dumps(
            {
                "format": FORMAT,
                "meta": dict(meta),
                "digests": {k: {n: _digest(x) for n, x in v.items()} for k, v in items.items()},
                # Orbax holds no array of size zero.
                "empty": {
                    k: {n: [str(x.dtype), x.shape] for n, x in v.items() if x.size == 0}
                    for k, v in items.items()
                },
                "versions": {name: version(name) for name in ("jax", "orbax-checkpoint", "numpy")},
            }
        )
        full = {k: nested({n: x for n, x in v.items() if x.size}) for k, v in items.items()}
        self.wait()
        self._serial += 1
        # Orbax holds no empty item either.
        parts = {k: ocp.args.StandardSave(tree) for k, tree in full.items() if tree}
        meta_part = ocp.args.JsonSave({"crc32": zlib.crc32(body.encode()), "body": body})
        args = ocp.args.Composite(meta=meta_part, **parts)
        self._guarded(lambda: self._manager.save(self._serial, args=args, force=True))

    def wait(self) -> None:
        """Return when everything is on disk.

        Raises:
            CheckpointError: the checkpoint in flight could not be written.
        """

        def finish() -> None:
            self._manager.wait_until_finished()
            for serial in _serials(self.directory):
                if not (self.directory / str(serial) / SEAL).exists():
                    _seal(self.directory / str(serial))

        self._guarded(finish)

    def newest(self) -> Path | None:
        """The newest checkpoint that is whole."""
        self.wait()
        serials = _serials(self.directory)
        return self.directory / str(max(serials)) if serials else None

    def close(self) -> None:
        """Wait and release Orbax's threads; errors were or will be reported by `wait`."""
        try:
            self._manager.close()
        except Exception as error:
            warnings.warn(f"closing {self.directory}: {error}", stacklevel=2)
        if self._failed:
            # Items of the failed checkpoint may have been written on until now.
            self._remove_rests()
        logging.getLogger("absl").removeFilter(self._filter)

    def _remove_rests(self) -> None:
        for rest in self.directory.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(rest, ignore_errors=True)

    def _guarded(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except Exception as error:
            self._failed = True
            self._remove_rests()
            full = _is_full(error)
            what = "the disk is full, or a quota or file size limit is reached" if full else error
            remedy = "free some space and" if full else "mend this and"
            raise CheckpointError(
                f"could not write a checkpoint to {self.directory}: {what}. Earlier checkpoints "
                f"are intact: {remedy} run the same command again to go on from the newest one."
            ) from error


def restore(directory: Path, *, set_aside: Path | None = None) -> Saved | None:
    """The newest checkpoint of `directory` that is whole; None if there are none at all.

    Damaged ones that are newer are named in a warning and, if `set_aside` names a directory,
    moved there.

    Raises:
        CheckpointError: there are checkpoints, and none of them can be read.
    """
    directory = directory.absolute()
    failed: list[tuple[Path, str]] = []
    for serial in sorted(_serials(directory), reverse=True):
        path = directory / str(serial)
        try:
            saved = _read(path)
        except (MemoryError, PermissionError):
            raise
        except Exception as error:
            failed.append((path, _first_line(error)))
            continue
        for bad, reason in failed:
            _report(bad, reason, path, set_aside)
        return saved
    if failed:
        listed = "\n  ".join(f"{path}: {reason}" for path, reason in failed)
        raise CheckpointError(
            f"no checkpoint in {directory} can be read:\n  {listed}\n"
            "Restore them from a copy, or remove that directory to train from the beginning."
        )
    return None


def _first_line(error: Exception) -> str:
    text = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {text[0][:200]}"


def _report(bad: Path, reason: str, used: Path, set_aside: Path | None) -> None:
    moved = ""
    if set_aside is not None:
        set_aside.mkdir(parents=True, exist_ok=True)
        taken = len(list(set_aside.glob(f"{bad.name}-*")))
        target = set_aside / f"{bad.name}-{taken + 1}"
        bad.rename(target)
        moved = f" and was moved to {target}"
    warnings.warn(
        f"checkpoint {bad} is damaged{moved}; using the earlier one {used} ({reason})",
        stacklevel=3,
    )


def _serials(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    return [int(p.name) for p in directory.iterdir() if p.name.isdecimal() and p.is_dir()]


def _read(path: Path) -> Saved:
    """Read and verify one checkpoint; anything that raises here means that it is damaged."""
    _check_seal(path)
    envelope = json.loads((path / "meta" / "metadata").read_text())
    body = envelope["body"]
    if zlib.crc32(body.encode()) != envelope["crc32"]:
        raise ValueError("the description does not have its checksum")
    content = json.loads(body)
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
    items = {}
    for item in ("state", "best"):
        arrays = _arrays(path / item) if _any_full(content, item) else {}
        for name, (dtype, shape) in content["empty"][item].items():
            arrays[name] = np.zeros(shape, np.dtype(dtype))
        digests = {name: _digest(x) for name, x in arrays.items()}
        if wrong := sorted(
            name
            for name in set(digests) | set(content["digests"][item])
            if digests.get(name) != content["digests"][item].get(name)
        ):
            raise ValueError(
                f"{item}: {len(wrong)} arrays without their checksum, first {wrong[0]}"
            )
        items[item] = arrays
    return Saved(path, items["state"], items["best"], content["meta"])


def _seal(path: Path) -> None:
    files = sorted(f for f in path.rglob("*") if f.is_file())
    sums = {f.relative_to(path).as_posix(): zlib.crc32(f.read_bytes()) for f in files}
    atomic_write_text(path / SEAL, json.dumps(sums))


def _check_seal(path: Path) -> None:
    if not (path / SEAL).exists():
        # A kill came between the last rename and the seal; the arrays have checksums of their own.
        return
    for name, crc in json.loads((path / SEAL).read_text()).items():
        if zlib.crc32((path / name).read_bytes()) != crc:
            raise ValueError(f"{name} does not have its checksum")


def _any_full(content: Mapping[str, Any], item: str) -> bool:
    return len(content["digests"][item]) > len(content["empty"][item])


def _arrays(path: Path) -> Arrays:
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=_ALONE)
    with ocp.Checkpointer(handler, multiprocessing_options=_ALONE) as reader:
        tree = reader.restore(path, args=ocp.args.StandardRestore())
    return {name: np.asarray(x) for name, x in slashed(tree).items()}


def _digest(x: np.ndarray) -> int:
    content = np.ascontiguousarray(x).reshape(-1).view(np.uint8).data
    return zlib.crc32(content, zlib.crc32(f"{x.dtype}{x.shape}".encode()))


def _is_full(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error).lower() for words in _FULL_WORDS):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
