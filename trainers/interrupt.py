"""Ctrl-C and SIGTERM: finish the step, save, then stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_ONE_OF_SEVERAL, _SAME_SECONDS = "TORCHELASTIC_RUN_ID", 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While it is open, the first Ctrl-C or SIGTERM only sets ``requested``; a second one stops at once.

    In a process of several, which get Ctrl-C from the terminal and then from what launched them, a second one within
    some seconds is the same. Outside the main thread, where Python allows no handlers, signals act as ever.

    Attributes:
        requested: Whether the loop should save and stop after this step.
    """

    def __init__(self) -> None:
        self.requested = False
        self._again = 0.0  # when a signal is a second one
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() >= self._again:
            raise KeyboardInterrupt
        if not self.requested and _ONE_OF_SEVERAL in os.environ:
            self._again = time.monotonic() + _SAME_SECONDS
        self.requested = True
