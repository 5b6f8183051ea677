"""Whether any input at all makes jsnas fail in another way than with a sentence.

    python -m benchmarks.fuzz --inputs 10000 --json fuzz.json

Valid files of every kind and valid command lines are made wrong at random and given to the command line. A fault is: an
exception that leaves it, an exit code other than 0 and 2, a message that is no sentence of ours, more than 10 s, a
crashed process, a file written that was not named, another program started, a connection, or an import that was not
asked for. An input is a function of the seed and its number, so ``--first NUMBER --inputs 1`` repeats one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.fuzz_files import ValidFiles, canary, make_valid
from benchmarks.fuzz_mutations import CANARY
from benchmarks.fuzz_readers import READERS, Case, Reader
from benchmarks.machine import machine

LIMIT_SECONDS = 10.0
_PATIENCE_SECONDS = 180.0  # of waiting for a process that a busy machine does not let compute
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.bind")
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")


class Watch:
    """An audit hook (PEP 578) that notes what a case does to the world; it cannot be taken out again."""

    def __init__(self, mark: str) -> None:
        self.mark = mark  # a file that a module of ours writes when it is imported, which is judged elsewhere
        self.case: Case | None = None
        self.faults: list[str] = []
        self.temporary: list[Path] = []  # folders that Python made under names of its own
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.case is None:
            return
        if event == "tempfile.mkdtemp":
            self.temporary.append(Path(arguments[0]))
        elif event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            return  # inside a folder of which shutil.rmtree has told
        elif event in _FORBIDDEN:
            self.faults.append(f"{event} {arguments!r}"[:300])
        elif (
            event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & _WRITING
        ) or event in _CHANGES:
            self._written(event, arguments[0])

    def _written(self, event: str, given: Any) -> None:
        assert self.case is not None
        if not isinstance(given, (str, bytes, os.PathLike)) or given in (os.devnull, self.mark):
            return
        path = Path(os.path.abspath(os.fsdecode(given)))  # noqa: PTH100  # links are not followed on purpose
        for named in (*self.case.named, *self.temporary):
            named = Path(os.path.abspath(named))  # noqa: PTH100
            # An export puts its model card and certificate beside its file, as `NAME-model_card.md`; a table its
            # protocols, as `NAME.protocols.json`.
            beside = (f".{named.name[:50]}.", f"{named.stem}-", f".{named.stem}-")
            table = (f"{named.stem}.protocols.json", f".{named.stem}.protocols.json.")
            temporary = path.parent == named.parent and path.name.startswith(beside + table)
            if path == named or named in path.parents or temporary or (event == "os.mkdir" and path in named.parents):
                return
        self.faults.append(f"{event} {path}, which was not named")


def run_case(case: Case, watch: Watch, mark: Path) -> list[str]:
    """What is wrong with the answer to one input."""
    from jsnas.attentions import ATTENTIONS
    from jsnas.operations import OPERATIONS
    from trainers.cli import main

    known, path = [(blocks, dict(blocks)) for blocks in (OPERATIONS, ATTENTIONS)], list(sys.path)
    said, faults = io.StringIO(), []
    watch.faults.clear()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            watch.case = case
            try:
                code: Any = main(case.words)
            except SystemExit as error:
                code = error.code or 0
            finally:
                watch.case = None
        last = (said.getvalue().strip().splitlines() or [""])[-1]
        if code not in (0, 2):
            faults.append(f"exit code {code}")
        elif code == 2 and not (last.startswith("jsnas: ") and last.rstrip().endswith((".", "?", "!", "…"))):
            faults.append(f"no sentence: {said.getvalue()[-300:]!r}")
        if "Traceback (most recent call last)" in said.getvalue():
            faults.append(f"a traceback was printed: {said.getvalue()[-600:]}")
    except Exception:
        faults.append("".join(traceback.format_exc().splitlines(keepends=True)[-14:]))
    faults += watch.faults
    if mark.exists():
        mark.unlink()
        sys.modules.pop(CANARY, None)
        if not case.imports:
            faults.append("a module was imported that nobody asked for")
    for blocks, before in known:
        blocks.clear()
        blocks.update(before)
    sys.path[:] = path
    return faults


def _draw(seed: int, number: int) -> tuple[Reader, random.Random]:
    rng = random.Random(f"{seed}/{number}")
    return rng.choices(READERS, [reader.share for reader in READERS])[0], rng


def _work(valid: Path, place: Path, seed: int, first: int, last: int, pipe: Connection) -> None:
    """Runs a range of inputs in a process that may crash; tells the pipe of each start and end."""
    mark = canary(place.parent)
    sys.path.insert(0, str(place.parent))
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    files, watch = ValidFiles.read(valid), Watch(str(mark))
    for number in range(first, last):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        os.chdir(place)
        reader, rng = _draw(seed, number)
        case = reader.make(files, place, rng)
        pipe.send((number, reader.name, case.words, None))
        pipe.send((number, reader.name, case.words, run_case(case, watch, mark)))


def fuzz(
    inputs: int, seed: int, first: int, folder: Path
) -> tuple[collections.Counter[str], list[dict[str, Any]], float]:
    """Tries so many inputs.

    Returns:
        How many of each reader were tried, the faults, and the longest time of one input in seconds.
    """
    valid, place = folder / "valid", folder / "work" / "case"
    valid.mkdir()
    place.parent.mkdir()
    # In a process of its own: this one stays small, so that each worker starts fast.
    context = multiprocessing.get_context("forkserver")
    maker = context.Process(target=make_valid, args=(valid,))
    maker.start()
    maker.join()
    if maker.exitcode != 0:
        raise RuntimeError("the valid inputs could not be made")
    tried: collections.Counter[str] = collections.Counter()
    faults: list[dict[str, Any]] = []
    slowest, number, end = 0.0, first, first + inputs
    while number < end:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(valid, place, seed, number, end, theirs))
        worker.start()
        theirs.close()
        name, words = "", [""]
        try:
            while number < end:
                number, name, words, found, took = _next(ours, worker)
                if found is None:
                    continue
                slowest = max(slowest, took)
                tried[name] += 1
                if took > LIMIT_SECONDS:
                    found = [*found, f"took {took:.1f} s"]
                if found:
                    faults.append({"input": number, "reader": name, "words": words, "faults": found})
                    kept = folder.parent / "fuzz-faults" / str(number)
                    if place.exists() and not kept.exists():
                        kept.parent.mkdir(exist_ok=True)
                        with contextlib.suppress(OSError):
                            shutil.copytree(place, kept)
                number += 1
        except (EOFError, TimeoutError) as error:
            tried[name] += 1
            fault = "hung" if isinstance(error, TimeoutError) else f"the process crashed with {_code(worker)}"
            faults.append({"input": number, "reader": name, "words": words, "faults": [fault]})
            number += 1
        worker.kill()
        worker.join()
    return tried, faults, slowest


def _next(pipe: Connection, worker: Any) -> tuple[int, str, list[str], list[str] | None, float]:
    """The next message of the worker, and the seconds it took: of computing, where the machine was busy."""
    start, process = time.monotonic(), psutil.Process(worker.pid)
    try:
        before = sum(process.cpu_times()[:2])
        while not pipe.poll(0.5):
            waited = time.monotonic() - start
            if sum(process.cpu_times()[:2]) - before > 6 * LIMIT_SECONDS or waited > _PATIENCE_SECONDS:
                raise TimeoutError
        number, name, words, found = pipe.recv()
        computed = sum(process.cpu_times()[:2]) - before
    except psutil.Error as error:
        raise EOFError from error
    return number, name, words, found, min(computed, time.monotonic() - start)


def _code(worker: Any) -> int | None:
    worker.join(5)
    code: int | None = worker.exitcode
    return code


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainers.search", "trainers.train", "benchmarks.fuzz_readers"])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        tried, faults, slowest = fuzz(options.inputs, options.seed, options.first, Path(temporary))
    for name, count in sorted(tried.items()):
        print(f"  {name:<28}{count:>8}")
    for fault in faults:
        print(f"input {fault['input']} ({fault['reader']}): jsnas {' '.join(map(repr, fault['words']))[:400]}")
        print("\n".join(f"    {line}" for text in fault["faults"] for line in text.splitlines()))
    print(
        f"{tried.total()} inputs tried in {time.monotonic() - start:.0f} s, {len(faults)} faults; the slowest took "
        f"{slowest:.1f} s."
    )
    if options.json:
        report = {
            "benchmark": "fuzz",
            **machine(torch.device("cpu")),
            "inputs": dict(tried),
            "faults": faults,
            "slowest_seconds": slowest,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
