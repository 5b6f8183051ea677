"""One progress line for long work; off a terminal a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

_LINE_EVERY_SECONDS = 15.0


class Progress:
    """Progress of ``total`` steps: count, speed, time left and what ``update`` is told, on stderr.

    Args:
        title: What is going on, such as ``"search"``.
        total: Steps in all.
        unit: What a step is called.
        done: Steps done before, by a run that is carried on.
        shown: Whether anything is shown at all.
    """

    def __init__(self, title: str, total: int, unit: str = "it", done: int = 0, shown: bool = True) -> None:
        self._shown, self._terminal = shown, shown and sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, desc=title, unit=unit, file=sys.stderr, disable=not self._terminal, leave=True
        )
        self._title, self._total, self._done, self._first, self._unit = title, total, done, done, unit
        self._start = self._last_line = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Says how many steps are done, and what is worth knowing (loss, PSNR)."""
        self._done = done
        if self._terminal:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._shown and (time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS or done == self._total):
            self._last_line = time.monotonic()
            speed = (done - self._first) / max(self._last_line - self._start, 1e-9)
            left = (self._total - done) / speed if speed else float("inf")
            print(
                f"{self._title}: {done}/{self._total} {self._unit}, {speed:.2f} {self._unit}/s, {left:.0f} s left"
                + (f", {note}" if note else ""),
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def counting(title: str, unit: str) -> Callable[[int, int], None]:
    """A function ``(done, total)`` that shows progress, for work that tells its total as it goes."""
    shown: list[Progress] = []

    def report(done: int, total: int) -> None:
        if not shown:
            shown.append(Progress(title, total, unit))
        shown[0].update(done)
        if done >= total:
            shown[0].__exit__(None, None, None)

    return report
