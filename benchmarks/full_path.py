"""The full path: search, train what was found and score it, for six networks; carried on from run to run.

    python -m benchmarks.full_path IMAGES SETS --hours 2 --json full_path.json --page full_path.md

IMAGES is what `jsnas pack` takes, SETS a folder of benchmark sets. After --hours the command of jsnas that is at work
is asked to stop, as by Ctrl-C, and saves; the same words again carry on with it. The page has what is there so far. At
the paper's length (the default) this asks for a GPU and days; --search-iterations and --train-iterations shorten it,
the warm-up and the steps of the learning rate in proportion. Words that are not known here go to search and training
alike, such as --device=cuda --precision=bf16-mixed.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measured_page import publish
from jsnas.genotype import Genotype
from jsnas.paper import OURS, tables
from jsnas.task import Task
from trainers.config_file import load_config
from trainers.run_record import machine_in_words

NETWORKS = ("sr-x2", "sr-x4", "denoise-30", "denoise-50", "deblock-10", "deblock-20")
WARMUP, HALVED = 20, 5  # the paper's 20,000 of 400,000 and 200,000 of 1,000,000


class OutOfTimeError(Exception):
    """The hours are over, or somebody pressed Ctrl-C; what was at work has saved."""


def jsnas(words: Sequence[object], end: float) -> None:
    """Runs a command of jsnas until it ends.

    Args:
        words: What follows ``jsnas``.
        end: The ``time.monotonic()`` at which it is asked to stop.

    Raises:
        OutOfTimeError: If it was stopped.
        SystemExit: If it failed; it has said why.
    """
    if time.monotonic() >= end:
        raise OutOfTimeError
    process = subprocess.Popen([sys.executable, "-m", "jsnas", *map(str, words)])
    stopped = False
    try:
        process.wait(None if math.isinf(end) else end - time.monotonic())
    except subprocess.TimeoutExpired:
        stopped = True
        process.send_signal(signal.SIGINT)
    except KeyboardInterrupt:  # the terminal has told the command too
        stopped = True
    if (code := process.wait()) and not stopped:
        raise SystemExit(code)
    if stopped:
        raise OutOfTimeError


def carry_on(name: str, a: argparse.Namespace, more: Sequence[str], end: float) -> None:
    """Does what is left of one network.

    Raises:
        OutOfTimeError: If it was stopped.
        SystemExit: If a command failed.
    """
    task, folder = load_config(name).to_task(), a.work / name
    search, training, data = folder / "search", folder / "train", a.work / f"{_packed_name(task)}.h5"
    if not data.exists():
        data.parent.mkdir(parents=True, exist_ok=True)
        jsnas(["pack", a.images, data, *_task_words(task)], end)
    given = ["--config", name, "--data", data, *more]
    n, m = a.search_iterations, a.train_iterations
    searched = [f"--search.total_iter={n}", f"--search.weight_warmup_iters={n // WARMUP}"]
    trained = [f"--train.total_iter={m}", f"--train.halve_every={max(1, m // HALVED)}"]
    if not (training / "run.json").exists():
        jsnas(["search", *given, *searched, "--out", search, *_resume(search)], end)
    if not (folder / "scores.json").exists():
        jsnas(["train", *given, *trained, "--genotype", search, "--out", training, *_resume(training)], end)
        jsnas(["evaluate", training / "checkpoint.safetensors", a.sets, "--json", folder / "scores.json"], math.inf)


def measure(a: argparse.Namespace, more: Sequence[str]) -> dict[str, Any]:
    """Goes on for the hours, and gives the figures of all networks that are done."""
    end = time.monotonic() + 3600 * a.hours
    try:
        for name in a.networks:
            carry_on(name, a, more, end)
    except OutOfTimeError:
        print("Stopped; the same command carries on.", file=sys.stderr)
    done = {}
    for name in a.networks:
        folder = a.work / name
        if (folder / "scores.json").exists():
            scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["results"]
            for score in scores:
                del score["per_image"]
            genotype = Genotype.load(folder / "search" / "genotype.json")
            done[name] = {"genotype": genotype.to_dict(), "scores": scores}
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine_in_words(),
        "search_iterations": a.search_iterations,
        "train_iterations": a.train_iterations,
        "more": list(more),
        "networks": done,
    }


def page(content: dict[str, Any]) -> str:
    """The figures as Markdown, the paper's beside them."""
    lines = [
        "# The full path",
        "",
        f"Search of {content['search_iterations']:,} iterations, training of {content['train_iterations']:,}; the "
        f"paper's have 400,000 and 1,000,000. By `python -m benchmarks.full_path` on {content['date']}, "
        f"{content['machine']}.",
        "",
        "| network | set | PSNR (dB) | SSIM | input (dB) | the paper's JSNet (dB) |",
        "|---|---|---|---|---|---|",
    ]
    for name, network in content["networks"].items():
        task = load_config(name).to_task()
        for s in network["scores"]:
            before, paper = s.get("bicubic") or s["input"], _paper(task, s["dataset"])
            cells = [name, s["dataset"], f"{s['psnr_db']:.2f}", f"{s['ssim']:.4f}", f"{before['psnr_db']:.2f}", paper]
            lines.append(f"| {' | '.join(cells)} |")
    found = [f"- {name}: {Genotype.from_dict(n['genotype'])}" for name, n in content["networks"].items()]
    return "\n".join([*lines, "", *(found or ["No network is done yet."]), ""])


def _packed_name(task: Task) -> str:
    return "denoise" if task.name == "denoise" else task.label  # noise is drawn while training: one file for all levels


def _task_words(task: Task) -> list[object]:
    words: dict[str, list[object]] = {"sr": ["--scale", task.scale], "deblock": ["--quality", task.quality]}
    return ["--task", task.name, *words.get(task.name, [])]


def _resume(folder: Path) -> list[str]:
    return ["--resume"] if folder.exists() else []


def _paper(task: Task, dataset: str) -> str:
    """What the paper prints for its own network, in the tables of its comparisons with others."""
    printed = [
        cell.printed
        for cell in tables()
        if (cell.method, cell.metric, cell.dataset, cell.task) == (OURS, "psnr_db", dataset, task)
    ]
    return ", ".join(printed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="training images")
    parser.add_argument("sets", type=Path, help="folder of benchmark sets")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="which (default: all)")
    parser.add_argument("--hours", type=float, default=math.inf, help="after which to stop (default: never)")
    parser.add_argument("--search-iterations", type=int, default=400_000, help="of each search")
    parser.add_argument("--train-iterations", type=int, default=1_000_000, help="of each training")
    parser.add_argument("--work", type=Path, default=Path("runs/full-path"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--page", type=Path, help="where to write the page")
    arguments, more = parser.parse_known_args()
    publish(arguments, measure(arguments, more), page)


if __name__ == "__main__":
    main()
