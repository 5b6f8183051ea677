"""Restores image files with a network: what one does with a checkpoint in the end."""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jsnas.checkpoint import load_checkpoint
from jsnas.data.atomic import atomic_file
from jsnas.data.pictures import read_picture, write_picture
from jsnas.errors import InputError
from jsnas.onnx_form import FORMAT as ONNX_FORMAT
from jsnas.onnx_form import OnnxSession
from jsnas.picture_restore import restore_picture
from jsnas.restorer import OnnxFileRestorer, Restorer, StripRestorer, TileRestorer
from jsnas.task import Task
from jsnas.tiles.layout import Tiling
from trainers.restore_files import name_outputs
from trainers.streams import pick_device


@dataclass(frozen=True)
class Restored:
    """What a run of ``restore_files`` did.

    Attributes:
        written: The files written.
        failed: One sentence for each image that could not be restored.
        megapixels: Pixels written, in millions.
        seconds: How long it took.
    """

    written: list[Path]
    failed: list[str]
    megapixels: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{len(self.written)} image{'s' * (len(self.written) != 1)} ({self.megapixels:.2f} megapixels) in "
            f"{self.seconds:.1f} s, {self.megapixels / max(self.seconds, 1e-9):.2f} megapixels/s"
        )


def open_restorer(source: Path, backend: str, tiling: Tiling | None) -> tuple[Restorer, Task]:
    """What restores, and for which task.

    Args:
        source: A checkpoint (``.safetensors``), or a file of `jsnas export` (``.onnx``).
        backend: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, or ``onnx`` (ONNX Runtime on the CPU).
        tiling: How to cut images into tiles; by default strips, which need no overlap, but for ``onnx`` tiles.

    Raises:
        InputError: If the file cannot be read, the backend does not exist here, or tiles do not go with it.
    """
    if source.suffix == ".onnx":
        if backend not in ("auto", "onnx") or tiling is not None:
            raise InputError(
                "An ONNX file restores whole images with ONNX Runtime; leave --backend and --tile out, or give the "
                "checkpoint."
            )
        return _open_onnx(source)
    network = load_checkpoint(source)
    task: Task = network.metadata["task"]
    if backend == "onnx":
        return TileRestorer(network, tiling or Tiling(), None), task
    device = pick_device(backend)
    return (StripRestorer(network, device) if tiling is None else TileRestorer(network, tiling, device)), task


def restore_files(
    restorer: Restorer,
    task: Task,
    files: Sequence[Path],
    out: Path,
    overwrite: bool = False,
    progress: Callable[[float, int, str], None] | None = None,
) -> Restored:
    """Restores low-quality images and writes them as PNG files; one that cannot be restored does not stop the others.

    Args:
        restorer: Of ``open_restorer``.
        task: Its task.
        files: Image files.
        out: The folder to write to; it is made.
        overwrite: Whether files that are there may be replaced; inputs never are.
        progress: Called with images done (the one at work in part), images in all, and the name of the one at work.

    Raises:
        InputError: If a file would be overwritten, two would have one name, or the folder cannot be made.
    """
    start, pixels = time.monotonic(), 0
    targets = name_outputs(files, out, overwrite)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{out}' cannot be made ({error.strerror}); choose another --out.") from error
    if not os.access(out, os.W_OK):
        raise InputError(f"Nothing can be written into '{out}'; choose another --out.")
    written, failed = [], []
    for done, (file, target) in enumerate(zip(files, targets, strict=True)):

        def tell(part: float, done: int = done, file: Path = file) -> None:
            if progress is not None:
                progress(done + min(part, 0.99), len(files), file.name)  # it is done when it is written

        try:
            picture = restore_picture(restorer, task, read_picture(file), tell)
            if target.exists() and not overwrite:
                raise InputError(f"'{target}' has come into being meanwhile; it was left as it is.")
            with atomic_file(target) as temporary, temporary.open("wb") as stream:
                write_picture(stream, picture)
        except InputError as error:
            failed.append(str(error) if str(file) in str(error) else f"'{file}': {error}")
        else:
            written.append(target)
            pixels += picture.colour.shape[0] * picture.colour.shape[1]
        if progress is not None:
            progress(done + 1, len(files), file.name)
    return Restored(written, failed, pixels / 1e6, time.monotonic() - start)


def restore_one(restorer: Restorer, task: Task, source: Path | BinaryIO, target: BinaryIO) -> None:
    """Restores one image from a file or a stream to a stream, as PNG.

    Raises:
        InputError: If it is no image or cannot be restored; then nothing is written.
    """
    if isinstance(source, Path):
        picture = read_picture(source)
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "stdin"
            file.write_bytes(source.read())
            try:
                picture = read_picture(file)
            except InputError as error:
                raise InputError(str(error).replace(str(file), "standard input")) from error
    content = io.BytesIO()
    write_picture(content, restore_picture(restorer, task, picture))
    target.write(content.getbuffer())
    target.flush()


def _open_onnx(source: Path) -> tuple[Restorer, Task]:
    if not source.is_file():
        raise InputError(f"There is no file '{source}'; give a checkpoint or a file of `jsnas export`.")
    session = OnnxSession(source.read_bytes())
    if session.metadata.get("format") != ONNX_FORMAT:
        raise InputError(f"'{source}' was not written by `jsnas export`, so its task is unknown.")
    try:
        task = Task(**json.loads(session.metadata["task"]))
        smallest = int(session.metadata["smallest_input"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"The metadata of '{source}' are damaged ({error}); export it again.") from error
    return OnnxFileRestorer(session, task.image_channels, smallest), task
