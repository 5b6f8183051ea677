"""Whether memory and open files stay flat over a long search and a long training.

    python -m benchmarks.soak --iterations 5000 --json soak.json

Each runs as its own process on tiny data, with its log, validation, states and curves as in a real run; resident memory
and open files of it and its children are read from /proc between two lines of its log. Growth is that of the median of
the last tenth over the median of a tenth of as many lines from iteration 500 (a tenth of a shorter run) on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks import tiny_runs
from benchmarks.machine import machine

LARGEST_GROWTH = 0.02
_EVERY = 10  # iterations between two readings


def soak(command: str, iterations: int, folder: Path) -> dict[str, Any]:
    """Runs one command and reads its memory and files as it goes.

    Returns:
        The first and last median of resident MiB, the growth, and the same of open files.
    """
    out = folder / command
    settings = [
        f"--logger.print_freq={_EVERY}",
        f"--logger.save_checkpoint_freq={max(_EVERY, iterations // 20)}",
        f"--val.val_freq={max(_EVERY, iterations // 20)}",
        "--logger.tensorboard=true",
        f"--train.halve_every={max(1, iterations // 5)}",
    ]
    words = tiny_runs.words(command, folder, out, ["--iterations", str(iterations), *settings])
    start = time.monotonic()
    with (
        (folder / f"{command}.log").open("wb") as log,
        subprocess.Popen([sys.executable, "-m", "jsnas", *words], stdout=log, stderr=log) as process,
    ):
        readings = _follow(psutil.Process(process.pid), process, out / "metrics.jsonl")
    if process.returncode != 0:
        raise RuntimeError((folder / f"{command}.log").read_text(errors="replace")[-2000:])
    first = min(500, iterations // 10)
    window = max(1, iterations // 10)
    early = [reading for reading in readings if first <= reading[0] < first + window]
    late = [reading for reading in readings if reading[0] > iterations - window]
    memory = [statistics.median(reading[1] for reading in part) for part in (early, late)]
    # What stays open is open in every reading; a log that is just being written is not.
    files = [min(reading[2] for reading in part) for part in (early, late)]
    return {
        "command": command,
        "iterations": iterations,
        "readings": len(readings),
        "resident_mib": [round(value / 2**20, 1) for value in memory],
        "growth": memory[1] / memory[0] - 1,
        "open_files": files,
        "seconds": round(time.monotonic() - start),
    }


def _follow(watched: psutil.Process, process: subprocess.Popen[bytes], journal: Path) -> list[tuple[int, int, int]]:
    """(iteration, resident bytes, open files) as the log grows."""
    readings: list[tuple[int, int, int]] = []
    seen = 0
    while process.poll() is None:
        time.sleep(0.05)
        lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
        if lines > seen:
            seen = lines
            try:
                family = [watched, *watched.children(recursive=True)]
                resident = sum(member.memory_info().rss for member in family)
                readings.append((_last_iteration(journal), resident, sum(member.num_fds() for member in family)))
            except psutil.Error:  # it has just ended
                break
    process.wait()
    return readings


def _last_iteration(journal: Path) -> int:
    whole = journal.read_bytes().rpartition(b"\n")[0]
    return int(json.loads(whole.rpartition(b"\n")[2])["iteration"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=5000, help="iterations of each (default: 5000)")
    parser.add_argument("--commands", nargs="+", choices=["search", "train"], default=["search", "train"])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tiny_runs.make(folder)
        for command in options.commands:
            result = soak(command, options.iterations, folder)
            results.append(result)
            memory, files = result["resident_mib"], result["open_files"]
            print(
                f"{command}: {result['iterations']} iterations in {result['seconds']} s; "
                f"resident memory {memory[0]} MiB, then {memory[1]} MiB ({result['growth']:+.2%}); "
                f"open files {files[0]:.0f}, then {files[1]:.0f}."
            )
    if options.json:
        report = {"benchmark": "soak", **machine(torch.device("cpu")), "runs": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    flat = all(r["growth"] < LARGEST_GROWTH and r["open_files"][1] <= r["open_files"][0] for r in results)
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
