"""Resumable states of a search or a training: kept in pairs, checked by hash, never unpickled freely.

A state file is what ``torch.save`` writes, followed by its 32-byte SHA-256. Reading uses ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError

_KEPT = 2


def save_state(folder: Path, iteration: int, content: dict[str, Any]) -> None:
    """Writes the state after an iteration, whole or not at all, and drops all but the two newest.

    Args:
        folder: Where states are kept.
        iteration: Iterations done.
        content: Tensors, numbers and containers of them.

    Raises:
        InputError: If it cannot be written; the states before it are kept.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be made ({error.strerror}); make room for it.") from error
    buffer = io.BytesIO()
    torch.save({"iteration": iteration, **content}, buffer)
    data = buffer.getvalue()
    with atomic_file(folder / f"{iteration:08d}.pt") as temporary:
        temporary.write_bytes(data + hashlib.sha256(data).digest())
    files = _state_files(folder)
    newer = [path for path in files if int(path.stem) > iteration]  # damaged ones, which were passed over
    for old in [*newer, *files[len(newer) + _KEPT :]]:
        old.unlink(missing_ok=True)


def load_newest_state(folder: Path) -> dict[str, Any] | None:
    """The newest whole state, or ``None`` if there is none; a damaged one is passed over with a warning."""
    for path in _state_files(folder):
        try:
            return read_state(path)
        except DamagedStateError as error:
            warnings.warn(f"{error} The one before it is used, if there is one.", stacklevel=2)
    return None


def load_state_of(folder: Path, holds: str) -> dict[str, Any] | None:
    """The newest whole state of a run that is carried on, or ``None`` if there is none.

    Args:
        folder: Where states are kept.
        holds: A key that the states of the command have, and those of other commands have not.

    Raises:
        InputError: If the state is of another command.
    """
    state = load_newest_state(folder)
    if state is not None and holds not in state:
        raise InputError(f"The states in '{folder}' are of another command; choose another --out.")
    return state


def newest_iteration(folder: Path) -> int:
    """Iterations done by the newest state, by its name; 0 if there is none."""
    return max((int(path.stem) for path in _state_files(folder)), default=0)


class DamagedStateError(InputError):
    """A state file whose content is not what its checksum says."""


def read_state(path: Path) -> dict[str, Any]:
    """The content of a state file.

    Raises:
        DamagedStateError: If it cannot be read, or its checksum does not fit.
        InputError: If it was written by another version, or is no state of ours.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedStateError(f"The state '{path}' cannot be read ({error}).") from error
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise DamagedStateError(f"The state '{path}' is damaged or cut short: its checksum does not fit.")
    try:
        content = torch.load(io.BytesIO(data[:-32]), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for what it does not read, code among it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"The state '{path}' is of another version ({reason}); start the run anew.") from error
    if not isinstance(content, dict) or type(content.get("iteration")) is not int:
        raise InputError(f"'{path}' holds no state of a run; start the run anew.")
    return content


def random_states() -> dict[str, Any]:
    """States of the random generators of python, numpy and torch (every CUDA device too)."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "cuda_device": torch.cuda.current_device() if torch.cuda.is_available() else 0,
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Puts back what ``random_states`` gave; the current device gets that of the device which was current then."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"][states.get("cuda_device", 0)])


def _state_files(folder: Path) -> list[Path]:
    """Newest first."""
    found = (p for p in folder.glob("*.pt") if re.fullmatch(r"[0-9]+\.pt", p.name))
    return sorted(found, key=lambda p: int(p.stem), reverse=True)
