"""The parts of a large pack: files in a hidden folder beside the result, each whole or not there.

A part knows which images, with which sizes and dates, and which version of Pillow it was made from; the next pack takes
it as it is if it would make the same, and makes it anew otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import h5py
import PIL
from filelock import FileLock, Timeout

from jsnas.data.faulty_images import Faults, FaultyImagesError
from jsnas.data.folders import ImagePair
from jsnas.data.h5 import H5Images
from jsnas.data.h5_index import FORMAT
from jsnas.data.pack_file import pack_file
from jsnas.errors import InputError
from jsnas.task import Task


@dataclass(frozen=True)
class Part:
    """Some of the images.

    Attributes:
        pairs: The images.
        path: The file that they go into.
        digest: Of all that the file's content depends on.
        done: Whether the file was there already.
    """

    KEY: ClassVar[str] = "inputs"  # root attribute that holds the digest

    pairs: Sequence[ImagePair]
    path: Path
    digest: str
    done: bool


@contextmanager
def parts_folder(out: Path, sharded: bool) -> Iterator[Path]:
    """The folder of the parts of ``out``, for one process at a time.

    Raises:
        InputError: If ``out`` cannot be written, or another process packs it.
    """
    if not out.parent.is_dir():
        raise InputError(f"'{out}' cannot be written because there is no folder '{out.parent}'; create it first.")
    if out.exists() and (sharded or out.is_dir()):
        what = "is there already; choose another name for the folder of shards" if sharded else "is a folder"
        raise InputError(f"'{out}' cannot be written because it {what}.")
    try:
        lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
        lock.acquire()
    except Timeout as error:
        raise InputError(f"Another process is packing '{out}'; wait for it or choose another name.") from error
    except OSError as error:
        raise InputError(f"'{out}' could not be written ({error}); choose another folder.") from error
    folder = out.with_name(f".{out.name}.parts")
    try:
        folder.mkdir(exist_ok=True)
        yield folder
    finally:
        with suppress(OSError):  # it holds parts, or is the result
            folder.rmdir()
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def ready_parts(folder: Path, pairs: Sequence[ImagePair], task: Task, size: int) -> list[Part]:
    """Divides images into parts of ``size``, finds those that are there, and removes whatever else is in the folder."""
    count = -(-len(pairs) // size)
    parts = []
    for number in range(count):
        chosen = pairs[number * size : (number + 1) * size]
        path, digest = folder / f"{number + 1:05d}-of-{count:05d}.h5", _digest(chosen, task)
        parts.append(Part(chosen, path, digest, _stored_digest(path) == digest))
    wanted = {part.path for part in parts if part.done}
    for file in folder.iterdir():
        if file not in wanted:
            file.unlink()
    return parts


def run_parts(
    parts: Sequence[Part],
    task: Task,
    processes: int,
    threads: int,
    make: Callable[..., None],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Packs the parts that are missing.

    Args:
        parts: All parts.
        task: What to pack for.
        processes: Processes that do so at the same time.
        threads: Threads of each.
        make: Packs one part, given (pairs, path, task, threads, progress, digest).
        progress: Called with (images done, images in all) after every part.

    Raises:
        FaultyImagesError: At the end, if some images cannot be used.
        InputError: If a part cannot be written.
    """
    total = sum(len(part.pairs) for part in parts)
    done = sum(len(part.pairs) for part in parts if part.done)
    missing, faults = [part for part in parts if not part.done], Faults()

    def count(part: Part) -> None:
        nonlocal done
        done += len(part.pairs)
        if progress:
            progress(done, total)

    if processes == 1 or len(missing) < 2:
        for part in missing:
            with faults.collect(FaultyImagesError):
                make(part.pairs, part.path, task, threads, None, part.digest)
                count(part)
            if faults.enough:
                break
        faults.tell()
        return
    workers = min(processes, len(missing))
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (os.getpid(),)) as pool:
        try:
            futures = {
                pool.submit(make, part.pairs, part.path, task, threads, None, part.digest): part for part in missing
            }
            for future in as_completed(futures):
                with faults.collect(FaultyImagesError):
                    future.result()
                    count(futures[future])
                if faults.enough:
                    break
            faults.tell()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def join_parts(folder: Path, parts: Sequence[Part], out: Path, task: Task, sharded: bool) -> None:
    """Makes the result of whole parts, and removes them."""
    if sharded:
        folder.replace(out)
        return
    with pack_file(out) as file:
        for part in parts:
            images = H5Images(part.path)
            for index, name in enumerate(images.names):
                sums = (images.stored_sha256(kind, index) for kind in ("hq", "lq"))
                file.add(name, images.hq(index), images.lq(index), *sums)
        file.finish(task, sum(pair.lq is not None for part in parts for pair in part.pairs))
    shutil.rmtree(folder)


def _digest(pairs: Sequence[ImagePair], task: Task) -> str:
    def seen(file: Path | None) -> list[object] | None:
        if file is None:
            return None
        try:
            status = file.stat()
        except OSError:  # said when the image is read
            return [str(file.absolute())]
        return [str(file.absolute()), status.st_size, status.st_mtime_ns]

    files = [[pair.name, seen(pair.hq), seen(pair.lq)] for pair in pairs]
    content = json.dumps([FORMAT, PIL.__version__, task.to_dict(), files])
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()


def _stored_digest(path: Path) -> str | None:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return bytes(file.attrs[Part.KEY]).decode()
    except (OSError, KeyError, RuntimeError):
        return None


def _start_worker(parent: int) -> None:
    """Ctrl-C is for the process that hands out the parts; when that one is gone, so is the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
