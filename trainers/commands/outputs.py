"""Before work begins: whether a file can be written in the end, and replaces nothing but what jsnas writes."""

from __future__ import annotations

import os
from pathlib import Path

from jsnas.errors import InputError

_BEGINNINGS = {
    "figures": (b"{", b"["),
    "packed images": (b"\x89HDF",),
    "drawing": (b"<svg", b"<?xml", b"\x89PNG", b"%PDF"),
    "table": (b"protocol,", b"PAR1"),
    "network (.py)": (b'"""JSNet for ',),
    "network (.onnx)": (b"\x08",),
    "network (.pt2)": (b"PK",),
    "network (.pth)": (b"PK",),
}


def check_output(path: Path, kind: str) -> None:
    """Refuses what could not be written, or would replace a file that is none of ours.

    Args:
        path: The file to be written.
        kind: What will be in it: ``"figures"``, ``"packed images"``, ``"drawing"``, ``"table"`` or ``"network"``.

    Raises:
        InputError: If the folder is missing or may not be written, or the name is that of a folder or a file of
            another kind.
    """
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"'{path}' cannot be written because there is no folder '{folder}'; create it first.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"'{path}' cannot be written because '{folder}' may not be changed; choose another folder.")
    if path.is_dir():
        raise InputError(f"'{path}' cannot be written because it is a folder; give the name of a file.")
    if path.exists() and not path.is_file():  # a pipe or a device
        raise InputError(f"'{path}' is no file that can be replaced; give the name of one.")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(64)
        if start and not _begins_as(start, kind, path.suffix):
            raise InputError(f"'{path}' is there already and holds no {kind}; choose another name, or remove it.")


def _begins_as(start: bytes, kind: str, suffix: str) -> bool:
    """Whether the first bytes of a file are those of a kind; a suffix that no kind has is refused later."""
    if suffix == ".safetensors":
        return start[8:9] == b"{"  # behind the length of the header
    beginnings = _BEGINNINGS.get(kind) or _BEGINNINGS.get(f"{kind} ({suffix})")
    return beginnings is None or start.lstrip().startswith(beginnings)
