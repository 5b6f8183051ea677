"""A data set larger than memory: how fast patches are read, and what memory it takes, when memory is a quarter of it.

    python -m benchmarks.larger_than_memory --json larger_than_memory.json

The reader runs in a control group of the kernel whose memory, page cache included, is limited; without the right to
make one (root on Linux) the script says so and does nothing. For comparison the same is read without a limit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from jsnas.data.h5 import H5Images
from jsnas.data.pack_file import pack_file
from jsnas.data.patches import PatchBatches
from jsnas.task import Task

X2 = Task("sr", scale=2)
HEIGHT, WIDTH = 1356, 2040  # DIV2K's
PER_SHARD = 20
_CGROUP = Path("/sys/fs/cgroup")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-mb", type=int, default=2000, help="size of the data set (default: 2000)")
    parser.add_argument("--limit-mb", type=int, default=500, help="memory of the reader (default: 500)")
    parser.add_argument("--batches", type=int, default=200, help="batches of 16 patches of 64 x 64 (default: 200)")
    parser.add_argument("--folder", type=Path, help="where the data set is made (default: a temporary folder)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    group = make_group(options.limit_mb * 2**20)
    if group is None:
        print("No control group could be made here; run it as root on Linux with the memory controller.")
        return
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            size = make_shards(Path(folder), options.data_mb * 2**20)
            ways = {"limited": group, "free": None}
            figures = {name: in_process(Path(folder), options.batches, place) for name, place in ways.items()}
    finally:
        group.rmdir()
    report = {"machine": machine(torch.device("cpu")), "data_mb": size / 2**20, "limit_mb": options.limit_mb, **figures}
    print(f"{size / 2**20:.0f} MB of images, {options.batches} batches:")
    for name, found in figures.items():
        print(
            f"  {name:8} {found['ms_per_batch']:8.2f} ms a batch, {found['anonymous_peak_mb']:.0f} MB of its own, "
            f"{found['major_faults']} reads from the disk"
        )
    print(f"  the group held at most {figures['limited']['group_peak_mb']:.0f} of {options.limit_mb} MB")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def make_group(limit: int) -> Path | None:
    """A control group with limited memory, of the kernel's first or second version."""
    first = (_CGROUP / "memory").is_dir()
    group = (_CGROUP / "memory" if first else _CGROUP) / f"jsnas-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
    except OSError:
        if group.is_dir():
            group.rmdir()
        return None
    return group


def make_shards(folder: Path, size: int) -> int:
    """Shards of random images, of about ``size`` bytes in all; returns the bytes."""
    rng = np.random.default_rng(0)
    count = -(-size // (HEIGHT * WIDTH * 3 * 5 // 4))
    for first in range(0, count, PER_SHARD):
        with pack_file(folder / f"{first:06d}.h5") as file:
            for index in range(first, min(first + PER_SHARD, count)):
                hq = np.frombuffer(rng.bytes(HEIGHT * WIDTH * 3), np.uint8).reshape(HEIGHT, WIDTH, 3)
                lq = np.ascontiguousarray(hq[::2, ::2])
                file.add(f"{index:06d}", hq, lq, *(hashlib.sha256(image.data).hexdigest() for image in (hq, lq)))
            file.finish(X2, 0)
    return sum(path.stat().st_size for path in folder.glob("*.h5"))


def in_process(folder: Path, batches: int, group: Path | None) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(read, (folder, batches, group))


def read(folder: Path, batches: int, group: Path | None) -> dict[str, Any]:
    """Reads batches and says what it took."""
    if group is not None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        os.sync()
        for path in folder.glob("*.h5"):  # what writing left in the cache belongs to no limit
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    images = H5Images(folder)
    stream = PatchBatches(images, X2, range(len(images)), 64, 16, seed=0)
    start, faults = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    anonymous = 0
    for index in range(batches):
        stream[index]
        if index % 20 == 0:
            anonymous = max(anonymous, _anonymous_bytes())
    figures: dict[str, Any] = {
        "ms_per_batch": (time.perf_counter() - start) / batches * 1e3,
        "anonymous_peak_mb": anonymous / 2**20,
        "major_faults": resource.getrusage(resource.RUSAGE_SELF).ru_majflt - faults,
    }
    if group is not None:
        names = ("memory.max_usage_in_bytes", "memory.peak")
        peak = next((group / name for name in names if (group / name).exists()), None)
        figures["group_peak_mb"] = int(peak.read_text()) / 2**20 if peak else float("nan")
        (group.parent / "cgroup.procs").write_text(str(os.getpid()))
    return figures


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
