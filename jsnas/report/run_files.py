"""The files of a run folder, read with distrust: the folder may come from a stranger.

Nothing here raises for a file that is missing, damaged, too large or a link that leads out of the folder: it is
``None``, and a sentence says why.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.plain_yaml import read_yaml

_MOST_BYTES = {".json": 4 << 20, ".yaml": 1 << 20, ".jsonl": 512 << 20, ".safetensors": 1 << 30, ".png": 64 << 20}
_LONGEST_LINE = 1 << 20

T = TypeVar("T")


class RunFiles:
    """Access to the files of one folder.

    Args:
        folder: The folder.

    Attributes:
        problems: A sentence for each file that is there and cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def path(self, name: str) -> Path | None:
        """A file of the folder's own, or None."""
        path = self.folder / name
        try:
            if not path.is_file():
                return None
            if not path.resolve().is_relative_to(self.folder.resolve()):
                self._say(name, "is a link that leads out of the run folder")
                return None
            if path.stat().st_size > _MOST_BYTES.get(path.suffix, 1 << 20):
                self._say(name, f"holds {path.stat().st_size:,} bytes, which is too large")
                return None
        except OSError as error:
            self._say(name, f"cannot be read ({error.strerror})")
            return None
        return path

    def json(self, name: str) -> dict[str, Any] | None:
        """A JSON file that holds a mapping."""
        return self._read(name, lambda path: _mapping(json.loads(path.read_text(encoding="utf-8"))))

    def yaml(self, name: str) -> dict[str, Any] | None:
        """A YAML file that holds a mapping, without aliases (which can blow up a small file)."""
        return self._read(name, lambda path: _mapping(read_yaml(path.read_text(encoding="utf-8"))))

    def genotype(self, name: str) -> Genotype | None:
        """A genotype."""
        return self._read(name, Genotype.load)

    def checkpoint(self, name: str) -> dict[str, Any] | None:
        """The metadata of a checkpoint; its tensors are not read."""

        def metadata(path: Path) -> dict[str, Any]:
            with safe_open(path, "pt") as file:
                texts = file.metadata() or {}
            keys = ("genotype", "settings", "task", "metrics")
            read = {key: _mapping(json.loads(texts[key])) for key in keys if key in texts}
            return {**read, "smallest_input": texts.get("smallest_input")}

        return self._read(name, metadata)

    def lines(self, name: str) -> list[dict[str, Any]] | None:
        """The mappings of a JSON-lines file; damaged lines are passed over and counted among the problems."""
        return self._read(name, lambda path: self._lines(path, name))

    def sha256(self, name: str) -> str | None:
        """Hash of a file."""

        def digest(path: Path) -> str:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return self._read(name, digest)

    def _lines(self, path: Path, name: str) -> list[dict[str, Any]]:
        found, damaged = [], 0
        with path.open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                try:
                    found.append(_mapping(json.loads(line)))
                except (ValueError, RecursionError):
                    damaged += 1
        if damaged:
            self._say(name, f"holds {damaged} damaged line{'s' * (damaged > 1)}, passed over")
        return found

    def _read(self, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.path(name)
        if path is None:
            return None
        try:
            return read(path)
        except InputError as error:
            self.problems.append(f"{name} cannot be used: {error}")
        except (OSError, ValueError, KeyError, RecursionError, SafetensorError) as error:
            self._say(name, f"cannot be read ({type(error).__name__})")
        return None

    def _say(self, name: str, what: str) -> None:
        self.problems.append(f"{name} {what}.")


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(value: object) -> int | None:
    """A whole number below 10^15, or None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15 else None


def get(content: object, *keys: str) -> Any:
    """``content[a][b]...``, or None where that is not there."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _mapping(content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError("no mapping")
    return content
