"""A request to stop that lets the step in flight finish."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(RuntimeError):
    """A signal stopped the training; the same call on the same workdir resumes."""


class StopRequest:
    """Context in which SIGTERM, and SIGINT once, ask for a stop instead of ending the process.

    A second SIGINT raises KeyboardInterrupt. Outside the main thread signals are left alone.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        again = "; once more to stop at once" if number == signal.SIGINT else ""
        name = signal.Signals(number).name
        # Not through a buffered stream, which a handler must not re-enter.
        os.write(2, f"\n{name}: finishing the steps in flight, then saving{again}\n".encode())
