"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jsnas.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; what was written there takes the final name when the block ends well.

    The content is flushed to the disk before it is renamed, so a killed process or a lost machine leaves either the
    old file or the whole new one. If the block raises, the temporary file is removed; an ``OSError`` of the block is
    a failure to write.

    Raises:
        InputError: If the folder is missing or writing fails.
    """
    temporary = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex[:12]}.part")
    try:
        if not path.parent.is_dir():
            raise InputError(f"'{path}' cannot be written because there is no folder '{path.parent}'; create it first.")
        if path.is_dir():
            raise InputError(f"'{path}' cannot be written because it is a folder; give the name of a file.")
        try:
            temporary.touch(exist_ok=False)
        except ValueError as error:  # a null character, or half a character
            raise InputError(f"{str(path)!r} is no name of a file ({error}); give another.") from error
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with suppress(OSError):  # some network file systems cannot flush a folder
            _flush(path.parent)
    except OSError as error:
        raise InputError(f"'{path}' could not be written ({error}); make room or choose another folder.") from error


def _flush(path: Path) -> None:
    """Waits until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
