"""The page of a run: written when asked, and kept up to date while a search or training goes on."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from jsnas.data.atomic import atomic_file
from jsnas.data.h5 import H5Images
from jsnas.data.patches import is_dead_worker
from jsnas.errors import InputError
from jsnas.report.page import report_page
from trainers import run_record
from trainers.config import Config

NAME = "report.html"
_LEAST_SECONDS = 5.0
_LARGEST_SHARE = 0.02  # of the run's time that its page may take


def write_report(folder: Path, running: bool = False) -> Path:
    """Writes ``report.html`` into a run folder.

    Args:
        folder: The folder of a search, training or demo.
        running: Whether the page should read itself again every few seconds.

    Returns:
        The page.

    Raises:
        InputError: If the folder holds no run or cannot be written.
    """
    page = report_page(folder, running)
    with atomic_file(folder / NAME) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / NAME


class LiveReport:
    """``run.json`` and the page of a run that goes on.

    The page is written anew when figures were added, but takes no more than a fiftieth of the run's time. A fault in it
    never stops the run: it is said once.

    Args:
        folder: The run folder, which must exist.
        kind: ``"search"``, ``"train"`` or ``"demo"``.
        config: Settings.
        images: The packed images, if they are known yet.
        parent: The page of the run that this one is a part of; it is kept up to date too.
    """

    def __init__(
        self, folder: Path, kind: str, config: Config, images: H5Images | None = None, parent: LiveReport | None = None
    ) -> None:
        self._folder, self._parent = folder, parent
        self._record = run_record.begin(folder, kind, config, images)
        self._outcome = "stopped before its end"
        self._next = 0.0
        self._said = False
        self._save_record()

    def note_data(self, images: H5Images) -> None:
        """Adds the data to ``run.json`` where they came later than the run."""
        self.note("data", run_record.data_record(images))

    def note(self, name: str, content: object) -> None:
        """Adds an entry to ``run.json``."""
        self._record[name] = content
        self._save_record()

    def update(self) -> None:
        """Says that there are new figures."""
        start = time.monotonic()
        if start >= self._next:
            self._write(running=True)
            took = time.monotonic() - start
            self._next = start + max(_LEAST_SECONDS, took / _LARGEST_SHARE)
        if self._parent is not None:
            self._parent.update()

    def done(self) -> None:
        """Says that the run came to its end; without it, ``close`` tells that it was stopped."""
        self._outcome = "finished"

    def close(self) -> None:
        """Writes how the run ended, and the page as it stays."""
        run_record.end(self._record, self._outcome)
        self._save_record()
        self._write(running=False)

    def _save_record(self) -> None:
        run_record.save(self._folder, self._record)

    def _write(self, running: bool) -> None:
        try:
            write_report(self._folder, running)
        except Exception as error:  # whatever it is, hours of search are worth more than their picture
            if running and is_dead_worker(error):
                raise
            if not self._said:
                reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                warnings.warn(f"The page '{self._folder / NAME}' was not written: {reason}", stacklevel=3)
            self._said = True
