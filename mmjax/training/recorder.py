"""The files of a run as all its processes see them: the first one writes, the others follow."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmjax.training.checkpoints import Checkpoints, restore
from mmjax.training.config import FitConfig
from mmjax.training.logs import Log
from mmjax.training.naming import Arrays, named
from mmjax.training.processes import arrays_of_first, on_first
from mmjax.training.progress import Progress
from mmjax.training.rundir import check_same, claim


class Restored(NamedTuple):
    """The state of an interrupted or finished run."""

    state: Arrays
    best: Arrays
    progress: Progress


class Recorder:
    """Reads and writes the directory of a run, or nothing at all without one."""

    def __init__(
        self, workdir: Path | None, config: FitConfig, description: Mapping[str, Any]
    ) -> None:
        self._workdir = workdir
        self._config = config
        self._description = description
        self._checkpoints: Checkpoints | None = None
        self._log: Log | None = None
        self._saved = time.monotonic()
        self._stack = ExitStack()

    def restore(self) -> Restored | None:
        """The content of the directory; None when there is nothing to resume."""
        found: list[Any] = []

        def read() -> dict[str, Any] | None:
            if self._workdir is None:
                return None
            saved = restore(self._workdir / "checkpoints", set_aside=self._workdir / "damaged")
            if saved is None:
                return None
            check_same(saved.meta["description"], self._description, self._workdir)
            found.append(saved)
            return saved.meta["progress"]

        content = on_first(read)
        if content is None:
            return None
        saved = found[0] if found else None
        return Restored(
            arrays_of_first(None if saved is None else saved.state),
            arrays_of_first(None if saved is None else saved.best),
            Progress.from_json(content),
        )

    def open(self, progress: Progress) -> None:
        """Get ready to write after `progress`."""

        def begin() -> None:
            self._log = self._stack.enter_context(Log(self._workdir, self._config, progress))
            if self._workdir is not None:
                self._checkpoints = Checkpoints(self._workdir / "checkpoints", self._config.keep)
                self._stack.callback(self._checkpoints.close)

        on_first(begin)

    def line(self, text: str) -> None:
        """Print a line."""
        if self._log is not None:
            self._log.line(text)

    def show(self, epochs: int, loss: float, progress: Progress) -> None:
        """Refresh the progress bar."""
        if self._log is not None:
            self._log.show(epochs, loss, progress)

    def write(self, progress: Progress, state: Any, best: Any, *, save: bool = False) -> None:
        """Write new records, and a checkpoint if it is time for one or `save` is set.

        With `save` everything is on disk on return. All processes raise if the first one fails.

        Raises:
            CheckpointError, OSError: the disk is full or cannot be written.
        """

        def write() -> None:
            if self._log is not None:
                self._log.write(progress)
            if self._checkpoints is None:
                return
            if save or time.monotonic() - self._saved >= self._config.save_seconds:
                meta = {"description": self._description, "progress": progress.to_json()}
                self._checkpoints.save(named(state), named(best), meta)
                self._saved = time.monotonic()
            if save:
                self._checkpoints.wait()

        on_first(write)

    def last_good(self) -> str:
        """The newest whole checkpoint, for messages."""

        def newest() -> str:
            path = None if self._checkpoints is None else self._checkpoints.newest()
            return "none was written" if path is None else str(path)

        return on_first(newest)

    def close(self) -> None:
        """Release files and threads."""
        self._stack.close()


@contextmanager
def recording(
    workdir: Path | None, config: FitConfig, description: Mapping[str, Any]
) -> Iterator[Recorder]:
    """A `Recorder` whose directory is this run's alone while the context lasts."""
    with ExitStack() as stack:
        if workdir is not None:
            on_first(lambda: stack.enter_context(claim(workdir, description)))
        recorder = Recorder(workdir, config, description)
        stack.callback(recorder.close)
        yield recorder
