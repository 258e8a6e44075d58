"""One stage of a pipeline on disk: its key, its folder, and what may be read from there."""

import hashlib
import itertools
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmjax.data.io.files import remove_leftovers
from mmjax.training import artefacts
from mmjax.training.best import Best, load_best
from mmjax.training.config import flatten
from mmjax.training.fitting import FitResult
from mmjax.training.rundir import RunDirectoryError, check_same

RECORD = "record.json"
DAMAGED = "damaged"


class StageFolder(NamedTuple):
    """A stage of a run, and where it is kept."""

    name: str
    kind: str
    """``train`` or ``make``."""
    description: dict[str, Any]
    """All that decides its result, as JSON values, and the names of the fields that do not."""
    key: str
    """The hash of that."""
    folder: Path | None
    """None keeps nothing."""

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of ``stage.json`` but for what a made stage adds."""
        return {
            "stage": self.name,
            "kind": self.kind,
            "key": self.key,
            "description": self.description,
        }


def load_stage(workdir: str | Path, name: str, kinds: Sequence[type] = ()) -> Any:
    """A stage that a run has kept, without entering training: `Best`, or what was made.

    Args:
        workdir: of the pipeline.
        name: of the stage; of a shared one, with the digits of its key where there are several.
        kinds: classes of what was made, see `artefacts.decode`.

    Raises:
        FileNotFoundError: there is no such stage; the message says which there are.
        ValueError: it is damaged, or there are several.
        CheckpointError: it was to be trained, and there is no checkpoint that can be read.
    """
    folder = _folder(Path(workdir), name)
    try:
        if artefacts.read_manifest(folder)["kind"] == "make":
            return artefacts.decode(artefacts.read(folder)[1], kinds)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{folder} is damaged ({error}); run it anew") from error
    return load_best(folder)


def stage_key(kind: str, description: Mapping[str, Any]) -> str:
    """The hash of what decides a stage's result: of its description without execution fields."""
    free = {*description["execution"], "execution"}
    flat = {n: v for n, v in flatten(dict(description)).items() if n not in free}
    return hashlib.sha256(json.dumps([kind, flat], sort_keys=True).encode()).hexdigest()


def input_digest(value: Any) -> str:
    """The digest of one input: of trained results, that of their variables."""
    if isinstance(value, FitResult | Best):
        return artefacts.digest(value.variables)
    return artefacts.digest(value)


def made(
    stage: StageFolder, function: Callable[[], Any], kinds: Sequence[type]
) -> tuple[artefacts.Encoded, float]:
    """The result of a made stage, read if its folder is whole, and the seconds it took."""
    folder = stage.folder
    if folder is not None and folder.exists():
        try:
            manifest, encoded = artefacts.read(folder)
            return encoded, manifest["seconds"]
        except PermissionError:
            raise
        except (KeyError, OSError, ValueError, EOFError) as error:
            _set_aside(folder, error)
    began = time.perf_counter()
    encoded = artefacts.encode(function())
    seconds = round(time.perf_counter() - began, 3)
    if missing := artefacts.unknown_kinds(encoded, kinds):
        raise TypeError(
            f"stage {stage.name} makes {', '.join(sorted(missing))}: name the class in `kinds`, "
            "or reading it back would give another"
        )
    if folder is None:
        return encoded, seconds
    artefacts.write(folder, encoded, {**stage.manifest, "seconds": seconds})
    remove_leftovers(folder.parent)
    # Another process may have been faster: what counts is what later calls will find.
    manifest, encoded = artefacts.read(folder)
    return encoded, manifest["seconds"]


def mark(stage: StageFolder) -> None:
    """Write the stage.json of a stage that is trained; its own guard is config.json."""
    assert stage.folder is not None
    try:
        if artefacts.read_manifest(stage.folder) == {"format": artefacts.FORMAT, **stage.manifest}:
            return
    except (OSError, ValueError):
        stage.folder.mkdir(parents=True, exist_ok=True)
    artefacts.write_manifest(stage.folder, stage.manifest)


def refuse_another(stage: StageFolder) -> None:
    """Raise an error if the stage's folder holds one of another key."""
    assert stage.folder is not None
    try:
        old = artefacts.read_manifest(stage.folder)
        key, kind, description = old["key"], old["kind"], old["description"]
    except (KeyError, OSError, ValueError):
        # Absent, unfinished or damaged: for `fit` or `make` to mend.
        return
    if key == stage.key:
        return
    if kind != stage.kind:
        raise RunDirectoryError(
            f"{stage.folder} holds a stage of another kind ({kind}); choose another directory"
        )
    check_same(description, stage.description, stage.folder)


def _set_aside(folder: Path, error: Exception) -> None:
    aside = folder.parent / DAMAGED
    aside.mkdir(exist_ok=True)
    names = (aside / f"{folder.name}-{n}" for n in itertools.count(1))
    target = next(path for path in names if not path.exists())
    folder.rename(target)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    warnings.warn(
        f"stage {folder} is unfinished or damaged ({reason[:200]}); it was moved to {target} and "
        "is made again",
        stacklevel=4,
    )


def record_of(folder: Path) -> dict[str, Any]:
    """The figures that are kept in a stage's folder."""
    try:
        content = json.loads((folder / RECORD).read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        warnings.warn(f"{folder}/{RECORD} is damaged; its figures are lost", stacklevel=4)
        return {}
    return content if isinstance(content, dict) else {}


def _folder(workdir: Path, name: str) -> Path:
    if (workdir / name / artefacts.MANIFEST).exists():
        return workdir / name
    found = sorted(path.parent for path in workdir.glob(f"*/{artefacts.MANIFEST}"))
    like = [path for path in found if path.name.rpartition("-")[0] == name]
    if len(like) == 1:
        return like[0]
    there = ", ".join(path.name for path in like or found) or "none"
    if like:
        raise ValueError(f"{workdir} has several stages {name}: choose one of {there}")
    raise FileNotFoundError(f"{workdir} has no stage {name!r}; there are: {there}")
