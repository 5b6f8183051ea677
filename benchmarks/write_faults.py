"""Whether every file that jsnas writes is the old one or the new one, whole, whatever happens while it is written.

    python -m benchmarks.write_faults --json write_faults.json

Each way of writing replaces a file that is there, again and again in a child process:

* killed as it enters each of its system calls that change files (open, write, fsync, rename, unlink, ...), by ptrace;
* killed in the middle of a write, at several sizes of the file, by the kernel's limit on file sizes;
* refused in the middle of a write, after a short one, by the same limit: a sentence is expected;
* with ``--disk FOLDER``, a small file system: the same, when that disk is really full.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import tiny_runs
from benchmarks.machine import machine
from benchmarks.system_calls import can_trace, kill_at
from jsnas.checkpoint import save_checkpoint
from jsnas.data.images import write_png
from jsnas.data.pack import pack
from jsnas.errors import InputError
from jsnas.export import export
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.task import Task
from trainers.commands.parser import write_json
from trainers.config_file import load_config
from trainers.report import write_report
from trainers.run_folder import RunFolder
from trainers.state import load_newest_state, save_state

X2 = Task("sr", 2)


@dataclass(frozen=True)
class WritePath:
    """A way of writing.

    Attributes:
        name: What is written.
        write: Writes version 0 or 1 into a folder.
        read: What a reader finds there afterwards, to be compared with the versions.
    """

    name: str
    write: Callable[[Path, int], None]
    read: Callable[[Path], object]


def whole(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).read_bytes()


def write_paths(tiny: Path) -> list[WritePath]:
    """Every way; ``tiny`` is a folder of ``tiny_runs``."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    images = sorted((tiny / "images").iterdir())

    def packing(folder: Path, version: int) -> None:
        pack(images[: 2 + 3 * version], folder / "a.h5", X2)

    def picture(folder: Path, version: int) -> None:
        write_png(folder / "a.png", pixels[version])

    def figures(folder: Path, version: int) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            write_json(folder / "figures.json", {"figures": list(range(100 * (version + 1)))})

    return [
        WritePath("packed H5", packing, whole("a.h5")),
        WritePath("state", write_state, newest_state),
        *network_paths(tiny),
        *run_paths(tiny),
        WritePath("PNG", picture, whole("a.png")),
        WritePath("figures (JSON)", figures, whole("figures.json")),
    ]


def write_state(folder: Path, version: int) -> None:
    for iteration in (4, 8, 12) if version == 0 else (16,):
        save_state(folder / "states", iteration, {"weights": torch.full((3000,), float(iteration))})


def newest_state(folder: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_newest_state(folder / "states")
    return None if found is None else (found["iteration"], found["weights"].tolist())


def network_paths(tiny: Path) -> list[WritePath]:
    """The forms of a network and of its genotype."""
    genotypes = [Genotype.load(tiny / "genotype.json"), Genotype.load("jsnet-sr")]
    networks = [JSNet(genotype, NetworkSettings(3, 2, 1, 16, 8)) for genotype in genotypes]

    def checkpoint(folder: Path, version: int) -> None:
        save_checkpoint(folder / "a.safetensors", networks[version], X2, {"psnr_db": 30.0})

    def source(folder: Path, version: int) -> None:
        export(networks[version], X2, folder / "a.py")

    def genotype(folder: Path, version: int) -> None:
        genotypes[version].save(folder / "a.json")

    return [
        WritePath("checkpoint", checkpoint, whole("a.safetensors")),
        WritePath("exported Python file", source, whole("a.py")),
        WritePath("genotype", genotype, whole("a.json")),
    ]


def run_paths(tiny: Path) -> list[WritePath]:
    """What a run writes into its folder."""
    configs = [load_config(tiny / "tiny.yaml", [f"--train.total_iter={total}"]) for total in (5, 50_000)]

    def config(folder: Path, version: int) -> None:
        RunFolder(folder, configs[version], "search", resume=True).close()

    def log(folder: Path, version: int) -> None:
        with RunFolder(folder, configs[0], "search", resume=True) as opened:
            if version == 0:
                opened.log(1, {"loss": 2.5})
            else:
                opened.rewind(1)
                opened.log(2, {"loss": 1.5, "genotype": "skip " * 2000})

    def logged(folder: Path) -> object:
        """The whole lines, as a run that is carried on keeps them."""
        return (folder / "metrics.jsonl").read_bytes().rpartition(b"\n")[0]

    def run(folder: Path, version: int) -> None:
        if version == 0:
            for name in ("config.yaml", "genotype.json"):
                shutil.copy(tiny / ("tiny.yaml" if name == "config.yaml" else name), folder / name)
        write_report(folder)
        if version == 0:
            (folder / "metrics.jsonl").write_text('{"iteration": 2, "loss": 3.5}\n', encoding="utf-8")

    def page(folder: Path) -> object:
        """The page without the places and times in it."""
        text = (folder / "report.html").read_text(encoding="utf-8").replace(str(folder), "HERE")
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "THEN", text)

    return [
        WritePath("config.yaml", config, whole("config.yaml")),
        WritePath("metrics.jsonl", log, logged),
        WritePath("report.html", run, page),
    ]


class Trial:
    """Replaces the old version by the new one in a fresh folder, once for every fault.

    Args:
        path: How to write.
        place: A folder to work in.

    Attributes:
        faults: What went wrong.
        tried: Faults made, by kind.
    """

    def __init__(self, path: WritePath, place: Path) -> None:
        self.path, self.place = path, place
        self.faults: list[str] = []
        self.tried: dict[str, int] = {}
        folder = self._fresh()
        self.old = path.read(folder)
        self._in_child(lambda: path.write(folder, 1))
        self.new = path.read(folder)
        self.size = max(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if self.old == self.new:
            raise RuntimeError(f"the two versions of {path.name} are equal")

    def kills(self) -> None:
        """A kill at each system call that changes files."""
        number, call = 0, 0
        while call is not None:
            number += 1
            folder = self._fresh()
            call = kill_at(lambda folder=folder: self.path.write(folder, 1), number)  # type: ignore[misc]
            self._look("killed at a system call", f"call {number} ({call})", folder, done=call is None)

    def limits(self, sizes: int, kill: bool) -> None:
        """Writes that end at a size of the file: by a signal, or by an error after a short write."""
        for k in range(sizes):
            limit = self.size * k // sizes
            folder = self._fresh()
            code = self._in_child(lambda folder=folder: self.path.write(folder, 1), limit, kill)  # type: ignore[misc]
            kind = "killed within a write" if kill else "refused after a short write"
            self._look(kind, f"at {limit} bytes, exit {code}", folder, done=code == 0)
            if not kill and code not in (0, 2):
                self.faults.append(f"{self.path.name}: refused at {limit} bytes without a sentence, exit code {code}")

    def full_disk(self, disk: Path, steps: int) -> None:
        """The same on a disk that is filled up to a few bytes of what is needed."""
        for k in range(steps):
            folder = self._fresh(disk / "case")
            filler = disk / "filler"
            left = self.size * k // steps
            with filler.open("wb") as file:
                free = shutil.disk_usage(disk).free - left
                file.write(b"\0" * max(0, free))
            code = self._in_child(lambda folder=folder: self.path.write(folder, 1))  # type: ignore[misc]
            filler.unlink()
            self._look("on a full disk", f"with {left} bytes left, exit {code}", folder, done=code == 0)
            if code not in (0, 2):
                self.faults.append(f"{self.path.name}: a full disk ({left} bytes left) gave exit code {code}")
            shutil.rmtree(folder)

    def _fresh(self, folder: Path | None = None) -> Path:
        folder = folder or self.place / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.path.write(folder, 0)
        return folder

    def _look(self, kind: str, where: str, folder: Path, done: bool) -> None:
        self.tried[kind] = self.tried.get(kind, 0) + 1
        try:
            found = self.path.read(folder)
        except Exception as error:  # whatever it is, a reader must not meet it
            self.faults.append(f"{self.path.name}: {kind}, {where}: {type(error).__name__}: {error}")
            return
        if found not in ((self.new,) if done else (self.old, self.new)):
            self.faults.append(f"{self.path.name}: {kind}, {where}: neither the old nor the new one")

    def _in_child(self, work: Callable[[], None], limit: int | None = None, kill: bool = False) -> int:
        """Exit code of a child: 0 done, 2 with a sentence, 3 with another exception, below 0 killed."""
        child = os.fork()
        if child == 0:
            code = 3
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                if limit is not None:
                    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kill else signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                work()
                code = 0
            except InputError as error:
                code = 2 if str(error).endswith(".") else 3
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=25, help="sizes at which a write ends (default: 25)")
    parser.add_argument("--paths", nargs="+", help="names of the ways of writing that are tried (default: all)")
    parser.add_argument("--disk", type=Path, help="folder of a small file system that may be filled up")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    traces = can_trace()
    if not traces:
        print("This system lets no process trace another, so kills at system calls are left out.")
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        tiny = Path(temporary) / "tiny"
        tiny_runs.make(tiny)
        for path in write_paths(tiny):
            if options.paths and path.name not in options.paths:
                continue
            trial = Trial(path, Path(temporary) / "work")
            if traces:
                trial.kills()
            trial.limits(options.sizes, kill=True)
            trial.limits(options.sizes, kill=False)
            if options.disk:
                trial.full_disk(options.disk, options.sizes)
            results.append({"path": path.name, "tried": trial.tried, "faults": trial.faults})
            print(f"{path.name}: {', '.join(f'{count} {kind}' for kind, count in trial.tried.items())}")
            for fault in trial.faults:
                print(f"  {fault}")
    total = sum(count for result in results for count in result["tried"].values())
    faults = sum(len(result["faults"]) for result in results)
    print(f"{total} faults made on {len(results)} ways of writing; {faults} left neither the old nor the new file.")
    if options.json:
        report = {"benchmark": "write_faults", **machine(torch.device("cpu")), "paths": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
