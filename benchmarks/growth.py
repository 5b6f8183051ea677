"""How time and memory of a search iteration grow with the space, the batch and the patch.

    python -m benchmarks.growth --page benchmarks/growth.md --json growth.json

From a middle point (2 modules, 4 + 4 nodes, all candidates, 64 channels, batch 4, patches of 32) one setting at a time
is changed. Every point is a process of its own: the fast form of `pc_darts`, its first iteration not counted, the
better of two; peak memory above what the process held before it built the network.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.search_step import Search, own_peak
from jsnas.operations import OPERATIONS
from jsnas.process import prepare_process
from trainers.search import quiet_nni

MIDDLE: dict[str, Any] = {"modules": 2, "channels": 64, "inner_channels": 16, "batch": 4, "patch": 32}
KINDS = [name for name in OPERATIONS if name.startswith("rdb_")]
SR_ATTENTIONS = ["skip", "ca", "pa", "cea", "esa"]
AXES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "modules": [(str(n), {"modules": n}) for n in (1, 2, 4, 8)],
    "nodes of each graph": [(str(n), {"operation_nodes": n, "attention_nodes": n}) for n in (2, 3, 4, 6)],
    "candidate operations": [(str(n), {"operations": ["skip", *KINDS[: n - 1]]}) for n in (2, 4, 6)],
    "candidate attentions": [(str(n), {"attentions": SR_ATTENTIONS[-n:]}) for n in (1, 3, 5)],
    "channels": [(str(n), {"channels": n, "inner_channels": n // 4}) for n in (16, 32, 64, 128)],
    "batch": [(str(n), {"batch": n}) for n in (1, 4, 16)],
    "patch side": [(str(n), {"patch": n}) for n in (16, 32, 64, 128)],
}


def point(change: dict[str, Any]) -> dict[str, float]:
    """Seconds and MiB at the middle point with a change, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--point", json.dumps(change)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def own_point(change: dict[str, Any]) -> dict[str, float]:
    size = {**MIDDLE, **change}
    batch, patch = size.pop("batch"), size.pop("patch")
    memory, times = own_peak(functools.partial(Search, "fast", batch, patch, torch.device("cpu"), "32-true", size))
    return {"seconds": min(times), "peak_memory_mib": memory}


def power(points: dict[str, dict[str, float]], figure: str) -> float:
    """The power of the setting that a figure grows with between the smallest and the largest point."""
    first, last = min(points, key=float), max(points, key=float)
    return math.log(points[last][figure] / points[first][figure]) / math.log(float(last) / float(first))


def page(result: dict[str, Any]) -> str:
    """The figures as a Markdown page."""
    lines = [
        "# How a search grows",
        "",
        f"By `python -m benchmarks.growth --page benchmarks/growth.md` on {result['processor']}, {result['threads']} "
        f"threads, torch {result['versions']['torch']}, {result['date'][:10]}.",
        "One iteration of `pc_darts` (both steps), super-resolution x2. The middle point has 2 modules, 4 + 4 nodes,",
        "all candidates, 64 channels, batch 4, patches of 32 x 32; each table changes one of these. Memory is what",
        "the process took above what it held before.",
    ]
    for axis, points in result["axes"].items():
        lines += ["", f"| {axis} | seconds an iteration | peak memory (MiB) |", "|---|---|---|"]
        lines += [f"| {name} | {p['seconds']:.3f} | {p['peak_memory_mib']:.0f} |" for name, p in points.items()]
    lines += ["", "## What it means for a bigger space", "", "Between the ends of each table the figures grow with"]
    lines += ["", "| setting, to the power of | seconds | memory |", "|---|---|---|"]
    for axis, points in result["axes"].items():
        lines.append(f"| {axis} | {power(points, 'seconds'):.1f} | {power(points, 'peak_memory_mib'):.1f} |")
    lines += [
        "",
        "Where the setting doubles, a power of 1 doubles the figure and a power of 2 makes it four times as large;",
        "below 1, part of the cost is there anyway. A graph of n nodes has n (n - 1) / 2 edges, so its nodes are dear;",
        "more candidates on an edge cost little. To guess what a space takes, multiply the middle point by each",
        "setting's ratio to the power in its row; far outside the tables that is a guess.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--page", type=Path, help="where to write them as Markdown")
    parser.add_argument(
        "--point", type=json.loads, metavar="JSON", help="only measure the middle point with this change"
    )
    arguments = parser.parse_args()
    if arguments.point is not None:
        warnings.filterwarnings("ignore")
        quiet_nni()
        prepare_process()  # as `jsnas` does
        print(json.dumps(own_point(arguments.point)))
        return
    result: dict[str, Any] = {"benchmark": "growth", **machine(torch.device("cpu")), "middle": MIDDLE, "axes": {}}
    for axis, points in AXES.items():
        result["axes"][axis] = {name: point(change) for name, change in points}
        print(axis, {name: round(p["seconds"], 3) for name, p in result["axes"][axis].items()}, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if arguments.page:
        arguments.page.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
