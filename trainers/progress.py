"""One progress line for long work on a terminal; off a terminal, now and then a line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from tqdm import tqdm

_LINE_EVERY_SECONDS = 15.0


class Progress:
    """Progress of ``total`` steps: count, speed, time left and what ``update`` is told, on stderr.

    Off a terminal it is quiet: one JSON object a line at most every 15 seconds and at the end, with ``progress`` (the
    title), ``done``, ``total``, ``unit``, ``per_second``, ``seconds_left`` (null while unknown), and the figures.

    Args:
        title: What is going on, such as ``"search"``.
        total: Steps in all.
        unit: What a step is called.
        done: Steps done before, by a run that is carried on.
        start: When the work began, as ``time.monotonic`` tells it; None for now.
        shown: Whether anything is shown at all.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str = "it",
        done: int = 0,
        start: float | None = None,
        shown: bool = True,
    ) -> None:
        self._shown, self._terminal = shown, shown and sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, desc=title, unit=unit, file=sys.stderr, disable=not self._terminal, leave=True
        )
        self._title, self._total, self._first, self._unit = title, total, done, unit
        now = time.monotonic()
        self._start = self._last_line = now if start is None else start
        if self._terminal:
            self._bar.start_t -= now - self._start

    def update(self, done: float, figures: Mapping[str, float | str] | None = None) -> None:
        """Says how many steps are done, and what is worth knowing by the names of ``metrics.jsonl`` (loss, psnr_db)."""
        figures = figures or {}
        if self._terminal:
            self._bar.set_postfix_str(", ".join(_words(name, value) for name, value in figures.items()), refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._shown and (time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS or done == self._total):
            self._last_line = time.monotonic()
            speed = (done - self._first) / max(self._last_line - self._start, 1e-9)
            line = {
                "progress": self._title,
                "done": round(done, 1),
                "total": self._total,
                "unit": self._unit,
                "per_second": float(f"{speed:.4g}"),
                "seconds_left": round((self._total - done) / speed, 1) if speed else None,
                **{name: float(f"{v:.6g}") if isinstance(v, float) else v for name, v in figures.items()},
            }
            print(json.dumps(line), file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def counting(title: str, unit: str) -> Callable[[int, int], None]:
    """A function ``(done, total)`` that shows progress, for work that starts now and tells its total as it goes."""
    shown: list[Progress] = []
    start = time.monotonic()  # the first report comes when a step is done, and that step took time too

    def report(done: int, total: int) -> None:
        if not shown:
            shown.append(Progress(title, total, unit, start=start))
        shown[0].update(done)
        if done >= total:
            shown[0].__exit__(None, None, None)

    return report


def _words(name: str, value: float | str) -> str:
    """``psnr_db`` and 31.234 as ``PSNR 31.23 dB``."""
    if name.endswith("_db") and isinstance(value, float):
        return f"{name.removesuffix('_db').replace('psnr', 'PSNR').replace('_', ' ')} {value:.2f} dB"
    return f"{name.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
