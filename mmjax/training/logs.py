"""metrics.jsonl, TensorBoard events and the progress bar of a run."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mmjax.data.io.bars import tqdm
from mmjax.data.io.files import atomic_write_text
from mmjax.training.config import FitConfig
from mmjax.training.progress import Progress, Record

_NOT_CURVES = {"epoch", "seed", "step", "best"}


class Log:
    """The places that records go to; with neither a directory nor a terminal, nowhere."""

    def __init__(self, workdir: Path | None, config: FitConfig, progress: Progress) -> None:
        """Start from `progress`: metrics.jsonl is rewritten to hold exactly its history."""
        self._config = config
        self._written = len(progress.history)
        self._metrics = None if workdir is None else workdir / "metrics.jsonl"
        self._boards: dict[int, Any] = {}
        if self._metrics is not None:
            atomic_write_text(self._metrics, _lines(progress.history))
        if workdir is not None and config.tensorboard:
            self._boards = _boards(workdir / "tb", progress)
        self._bar: Any = None
        self._shown = time.monotonic()
        # A bar redrawn into a file or a pipe is kilobytes of one line.
        self._lines = not config.quiet and not _is_terminal()
        self._told = progress.evaluated

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        for board in self._boards.values():
            board.close()

    def line(self, text: str) -> None:
        """Print a line beside the bar."""
        if not self._config.quiet:
            tqdm.write(text, file=sys.stderr)

    def show(self, epochs: int, loss: float, progress: Progress) -> None:
        """Refresh the bar; it opens at the first call, so that its speed leaves out compilation.

        Where standard error is no terminal there is no bar: `write` prints a line an evaluation.
        """
        if self._lines:
            return
        if self._bar is None:
            self._bar = tqdm(
                total=self._config.epochs,
                initial=epochs,
                unit="epoch",
                disable=self._config.quiet,
                dynamic_ncols=True,
            )
        best = [s.best_metric for s in progress.selection if s.best_metric is not None]
        shown = {"loss": f"{loss:.4g}"}
        if best:
            shown[f"best {self._config.metric}"] = f"{sum(best) / len(best):.4f}"
        self._bar.set_postfix(shown, refresh=False)
        # Within a long epoch the count stands still and only the loss moves.
        if epochs > self._bar.n:
            self._bar.update(epochs - self._bar.n)
        elif time.monotonic() - self._shown > 0.5:
            self._bar.refresh()
            self._shown = time.monotonic()

    def _tell(self, progress: Progress) -> None:
        if progress.evaluated <= self._told or not progress.history:
            return
        last = progress.history[-1].get("loss")
        loss = "not finite" if last is None else f"{last:.4g}"
        self._told = progress.evaluated
        best = [s.best_metric for s in progress.selection if s.best_metric is not None]
        metric = f", best {self._config.metric} {sum(best) / len(best):.4f}" if best else ""
        print(
            f"epoch {progress.evaluated}/{self._config.epochs}, loss {loss}{metric}",
            file=sys.stderr,
        )

    def write(self, progress: Progress) -> None:
        """Append the records that are new since the last call; they are on disk on return.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if self._lines:
            self._tell(progress)
        new, self._written = progress.history[self._written :], len(progress.history)
        if self._metrics is not None and new:
            _append(self._metrics, _lines(new))
        for record in new:
            if board := self._boards.get(record["seed"]):
                for name, value in record.items():
                    if name not in _NOT_CURVES and value is not None:
                        board.add_scalar(name, value, record["epoch"])
        for board in self._boards.values():
            board.flush()


def _is_terminal() -> bool:
    """Whether a bar can be redrawn: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _lines(records: Sequence[Record]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror}: the run can go on from its last checkpoint; mend this and run "
            "the same command again",
            str(path),
        ) from error


def _boards(directory: Path, progress: Progress) -> dict[int, Any]:
    from tensorboardX import SummaryWriter

    # Events of epochs that will be trained again are hidden, not doubled.
    first = 1 + max((r["epoch"] for r in progress.history), default=0)
    several = len(progress.seeds) > 1
    return {
        seed: SummaryWriter(
            str(directory / f"seed-{seed}" if several else directory), purge_step=first
        )
        for seed in progress.seeds
    }
