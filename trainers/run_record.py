"""``run.json``: which command made a run, with which versions, data and hardware, and how it ended.

A run that is carried on has several sessions. Nothing in it is needed to go on; the page of the run shows it.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from jsnas.data.atomic import atomic_file
from jsnas.data.h5 import H5Images
from jsnas.native.library import compiled
from trainers.config import Config

NAME, FORMAT = "run.json", "jsnas-run/1"
_PACKAGES = ("jsnas", "torch", "numpy", "nni", "pytorch-lightning", "h5py", "pillow", "scikit-image", "safetensors")
_MOST_SESSIONS = 100


def begin(folder: Path, kind: str, config: Config, images: H5Images | None) -> dict[str, Any]:
    """The record of a run that starts, or is carried on, now.

    Args:
        folder: The run folder; an earlier record there keeps its sessions.
        kind: ``"search"``, ``"train"`` or ``"demo"``.
        config: Settings.
        images: The packed images, if they are known yet.
    """
    try:
        before = json.loads((folder / NAME).read_text(encoding="utf-8"))
        sessions = [entry for entry in before["sessions"] if isinstance(entry, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        sessions = []
    session: dict[str, Any] = {
        "command": command(),
        "started": now(),
        "ended": None,
        "outcome": None,
        "versions": versions(),
        "hardware": hardware(config),
    }
    record: dict[str, Any] = {"format": FORMAT, "kind": kind, "sessions": [*sessions, session][-_MOST_SESSIONS:]}
    if images is not None:
        record["data"] = data_record(images)
    return record


def end(record: dict[str, Any], outcome: str) -> None:
    """Notes how the last session of a record ended."""
    record["sessions"][-1] |= {"ended": now(), "outcome": outcome}


def save(folder: Path, record: dict[str, Any]) -> None:
    """Writes ``run.json``, whole or not at all."""
    with atomic_file(folder / NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def command() -> list[str]:
    """The words of this process's command line, ``jsnas`` in the place of our own program's path."""
    program = Path(sys.argv[0] or "python")
    ours = program.name == "jsnas" or (program.name == "__main__.py" and program.parent.name == "jsnas")
    return ["jsnas" if ours else program.name, *sys.argv[1:]]


def versions() -> dict[str, str]:
    """Python's version and those of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def hardware(config: Config) -> dict[str, Any]:
    """What the run computes on."""
    found: dict[str, Any] = {"device": config.device, "system": platform.platform(), "processor": _processor()}
    found |= {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "loops_in_c": compiled()}
    if torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        found["cuda"] = torch.version.cuda
    return found


def data_record(images: H5Images) -> dict[str, Any]:
    """File, number and hash of the packed images; the hash is of their names and of the pixel hashes in the file."""
    return {"file": str(images.path), "images": len(images), "sha256": images.sha256()}


def now() -> str:
    """The time, to the second."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def machine_in_words() -> str:
    """Processor, threads and torch, such as stand beside a figure."""
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}, torch {torch.__version__}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.processor())
