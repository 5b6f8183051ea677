"""The folder of a run: resolved config, genotype, checkpoint, ``metrics.jsonl`` and TensorBoard logs."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.plain_yaml import read_yaml
from trainers.config import Config
from trainers.report import LiveReport
from trainers.state import newest_iteration

_KIND = "# jsnas "  # begins the first line of config.yaml; then comes the command
_MAY_CHANGE = (
    "device",
    "datasets.path",
    "datasets.workers",
    "experiment.",
    "logger.",
    "num_nodes",
    "plugins",
    "precision",
    "search.learning_rate",
    "search.max_trials",
    "search.total_iter",
    "tournament.",
    "train.genotype",
    "train.learning_rate",
    "train.total_iter",
    "val.",
)


class RunFolder:
    """Opens the folder of a run.

    Args:
        path: The folder; it is made.
        config: Resolved settings, written to ``config.yaml``.
        kind: The command whose run it is, such as ``"search"``; another one cannot carry it on.
        resume: Whether to carry on the run that is there; otherwise the folder must hold none.
        writes: Whether this process is the run's writer; if not, the folder is left alone.

    Attributes:
        page: The page that is kept up to date with the metrics, where there is one.
        wants_tensorboard: Whether TensorBoard logs are written too.

    Raises:
        InputError: If the folder holds a run and ``resume`` is off, or one of another kind or other settings; another
            process works in it; or it cannot be written.
    """

    def __init__(self, path: Path, config: Config, kind: str, resume: bool, writes: bool = True) -> None:
        self.path, self._writes = path, writes
        self.page: LiveReport | None = None
        self._tensorboard: Any = None
        self._logged = 0  # iterations, by the processes before this one
        self.wants_tensorboard = config.logger.tensorboard
        if not writes:
            return
        self._refuse_old_run(kind, resume)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder '{path}' cannot be made ({error.strerror}); choose another --out.") from error
        self._lock = FileLock(path / ".lock", timeout=0)  # the system lifts it when the process ends, however it ends
        try:
            self._lock.acquire()
        except Timeout as error:
            raise InputError(f"Another process is working in '{path}'; wait for it or choose another --out.") from error
        except (OSError, NotImplementedError) as error:
            raise InputError(f"Nothing can be written into '{path}' ({error}); choose another --out.") from error
        self._refuse_old_run(kind, resume)  # once more: another process may have come and gone meanwhile
        if resume and (path / "config.yaml").exists():
            _check_same(path / "config.yaml", config, kind)
            _check_length(path, config, kind)
        elif resume:
            print(f"'{path}' holds no run yet; it starts from the beginning.", file=sys.stderr)
        self.write_text("config.yaml", f"{_KIND}{kind}\n{config.to_yaml()}")

    def _refuse_old_run(self, kind: str, resume: bool) -> None:
        if not resume and (self.path / "config.yaml").exists():
            mend = "choose another --out" if kind == "demo" else "carry it on with --resume or choose another --out"
            raise InputError(f"'{self.path}' already holds a run; {mend}.")

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write_text(self, name: str, text: str) -> None:
        """Writes one of the folder's files, whole or not at all."""
        if not self._writes:
            return
        with atomic_file(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a mapping as indented JSON."""
        self.write_text(name, json.dumps(content, indent=2) + "\n")

    def log(self, iteration: int, metrics: Mapping[str, float | str]) -> None:
        """Adds a line to ``metrics.jsonl``, and its numbers to TensorBoard.

        Args:
            iteration: Iterations done.
            metrics: What was measured then, by name.
        """
        if not self._writes:
            return
        line = json.dumps({"iteration": iteration, **{k: _rounded(v) for k, v in metrics.items()}})
        journal = self.path / "metrics.jsonl"
        try:
            with journal.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())  # a state that is saved after it relies on it
            if self.wants_tensorboard:
                for name, value in metrics.items():
                    if isinstance(value, float):
                        self._board().add_scalar(name, value, iteration)
        except OSError as error:
            raise InputError(
                f"'{journal}' could not be written ({error}); make room and go on with --resume."
            ) from error
        if self.page is not None:
            self.page.update()

    def show(self, name: str, iteration: int, picture: npt.NDArray[np.uint8]) -> None:
        """Adds a picture, H x W x C, to TensorBoard."""
        if self._writes and self.wants_tensorboard:
            self._board().add_image(name, picture, iteration, dataformats="HWC")

    def rewind(self, iteration: int) -> None:
        """Drops the lines of ``metrics.jsonl`` after an iteration, for a run that carries on from there."""
        self._logged = iteration
        journal = self.path / "metrics.jsonl"
        if journal.exists():
            lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _iteration_of(line) <= iteration]
            self.write_text("metrics.jsonl", "".join(line + "\n" for line in kept))

    def close(self) -> None:
        """Flushes the logs and lets others into the folder."""
        if self._tensorboard is not None:
            with suppress(OSError):  # curves only; a full disk was said before
                self._tensorboard.close()
        if self.page is not None:
            self.page.close()
            self.page = None
        if self._writes:
            self._lock.release()

    def _board(self) -> Any:
        if self._tensorboard is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and only wanted here

            # Steps after those logged before are taken back from what an earlier process wrote.
            self._tensorboard = SummaryWriter(str(self.path / "tensorboard"), purge_step=self._logged + 1)
        return self._tensorboard


def _check_same(path: Path, config: Config, kind: str) -> None:
    """Says what a run that is carried on has changed: its kind or a setting; lengths, logs and places may change."""
    try:
        text = path.read_text(encoding="utf-8")
        before = _flat(read_yaml(text))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"'{path}' is damaged; start the run anew in another --out.") from error
    first = text.partition("\n")[0]
    if first.startswith(_KIND) and first != f"{_KIND}{kind}":
        raise InputError(
            f"'{path.parent}' holds a run of `{first.removeprefix('# ')}`, which `jsnas {kind}` cannot carry on; "
            "choose another --out."
        )
    for key, value in _flat(read_yaml(config.to_yaml())).items():
        if key in before and before[key] != value and not key.startswith(_MAY_CHANGE):
            raise InputError(
                f"The run in '{path.parent}' has {key} {before[key]!r}, but {value!r} was given; carry it on with the "
                "same settings or choose another --out."
            )


def _check_length(path: Path, config: Config, kind: str) -> None:
    """Says that a run has done more than it shall do in all."""
    total = config.train.total_iter if kind == "train" else config.search.total_iter
    done = newest_iteration(path / "states")
    if done > total:
        raise InputError(
            f"The run in '{path}' has done {done} iterations, more than the {total} asked for; give as many, or choose "
            "another --out."
        )


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _rounded(value: float | str) -> float | str:
    """Nine digits, as many as float32 holds; what JSON has no number for becomes text."""
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else str(value)
    return value


def _iteration_of(line: str) -> float:
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line cut short by a kill
