"""Which tasks a search for several is for: ``TASK=FILE.h5`` words, each to the settings of its task."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsnas.data.h5 import H5Images
from jsnas.errors import InputError
from jsnas.task import TASK_NAMES, Task
from trainers.config import Config

_LEVELS = {"sr": "scale", "denoise": "sigma", "deblock": "quality"}
_SPEC = re.compile(r"(?P<task>[a-z]+)(?:-x?(?P<level>[0-9.]+))?")


def task_configs(config: Config, sources: Sequence[str]) -> dict[str, Config]:
    """The settings of each task, by its label; but for task and data they are those of ``config``.

    Args:
        config: Settings.
        sources: ``TASK=FILE`` for each, such as ``sr=a.h5``, ``denoise-50=b.h5``, ``deblock=c.h5``. The level is the
            packed file's; noise, which is drawn while learning, has the level that is named, or 30.

    Raises:
        InputError: If one is malformed, doubled, its file cannot be read or is of another task, or there are not two.
    """
    configs: dict[str, Config] = {}
    for source in sources:
        name, equals, file = source.partition("=")
        match = _SPEC.fullmatch(name)
        if not (equals and file and match and match["task"] in TASK_NAMES):
            raise InputError(
                f"'{source}' does not name a task and its data; write TASK=FILE.h5 with one of {', '.join(TASK_NAMES)}."
            )
        task = _task(match["task"], match["level"], H5Images(Path(file)))
        if task.label in configs:
            raise InputError(f"Task '{task.label}' is named twice; name each task once.")
        configs[task.label] = dataclasses.replace(
            config,
            task=task.name,
            scale=task.scale,
            sigma=task.sigma,
            quality=task.quality,
            datasets=dataclasses.replace(config.datasets, path=file),
        )
    if len(configs) < 2:
        raise InputError("Several tasks share a supernet; name at least two, such as --data sr=a.h5 denoise=b.h5.")
    return configs


def _task(name: str, level: str | None, images: H5Images) -> Task:
    """The task of packed images, at a level or at theirs."""
    own = images.task
    if own.name != name:
        raise InputError(f"'{images.path}' was packed for {own.label}, but the task is {name}; pack images for it.")
    try:
        if level is None:
            return own
        values: dict[str, Any] = {_LEVELS[name]: float(level) if name == "denoise" else int(level)}
        task = Task(name, **values)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{name}-{level}' has no level of {name}; write sr-x2, denoise-30 or deblock-10.") from error
    images.check_task(task)
    return task
