"""Do the tasks need structures of their own? Searches for three tasks at once, and every genotype on every task.

    python -m benchmarks.transfer --json benchmarks/transfer.json --page benchmarks/transfer.md

Every seed is a search for super-resolution x2, denoising and JPEG deblocking on shared weights, on the photographs of
scikit-image, and one short training of each genotype on each task. All tasks have the same candidates, so that what
differs was found and not given. A measurement that was stopped goes on where it was when it is started again.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.measured_page import make_page, page_parser
from benchmarks.photograph_data import SPLIT, packed
from jsnas.genotype import Genotype
from jsnas.task import Task
from trainers.config import Config
from trainers.config_file import load_config
from trainers.multi_task import multi_task_search
from trainers.statistics import CONFIDENCE
from trainers.task_data import task_configs
from trainers.task_differences import differences
from trainers.transfer import judge, transfer, transfer_table

TASKS = (Task("sr", scale=2), Task("denoise", sigma=30), Task("deblock", quality=10))
SAME_CANDIDATES = "--search.attentions=[skip, ca, pa, cea, esa]"


def settings(iterations: int, warmup: int, training: int) -> Config:
    """Those of all tasks."""
    lengths = [f"--search.total_iter={iterations}", f"--search.weight_warmup_iters={warmup}"]
    lengths += [f"--search.trial_iter={training}", f"--val.val_freq={iterations}"]
    return load_config("quick", [*SPLIT, SAME_CANDIDATES, *lengths, "--device=cpu", "--logger.tensorboard=false"])


def repeat(config: Config, sources: list[str], seed: int, folder: Path) -> dict[str, Any]:
    """One search, and its matrix."""
    result = folder / f"{seed}.json"
    if result.is_file():
        kept: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return kept
    start = time.monotonic()
    config = dataclasses.replace(config, manual_seed=seed)
    out = folder / str(seed)
    genotypes = multi_task_search(config, sources, out / "search", resume=out.exists())
    cells = transfer(task_configs(config, sources), genotypes, 1, out / "transfer", resume=True)
    measured = {
        "seed": seed,
        "genotypes": {label: genotype.to_dict() for label, genotype in genotypes.items()},
        "psnr_db": {on: {of: values[0] for of, values in row.items()} for on, row in cells.items()},
        "seconds": time.monotonic() - start,
    }
    result.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


def measure(seeds: int, iterations: int, warmup: int, training: int, folder: Path) -> dict[str, Any]:
    """All repeats."""
    config = settings(iterations, warmup, training)
    sources = [f"{task.label}={packed(task, folder)}" for task in TASKS]
    repeats = []
    for seed in range(seeds):
        repeats.append(repeat(config, sources, seed, folder))
        print(f"seed {seed}: {repeats[-1]['psnr_db']}", file=sys.stderr, flush=True)
    return {
        "benchmark": "transfer",
        "machine": machine(torch.device("cpu")),
        "settings": {
            "iterations": iterations,
            "warmup": warmup,
            "training": training,
            "modules": config.search.modules,
            "channels": config.search.channels,
            "inner_channels": config.search.inner_channels,
            "attentions": config.search.attentions,
        },
        "seconds": sum(r["seconds"] for r in repeats),
        "repeats": repeats,
    }


def page(content: dict[str, Any]) -> str:
    """The figures as a page."""
    repeats, used = content["repeats"], content["settings"]
    labels = list(repeats[0]["psnr_db"])
    found = judge({on: {of: [r["psnr_db"][on][of] for r in repeats] for of in labels} for on in labels})
    genotypes = [{k: Genotype.from_dict(g) for k, g in r["genotypes"].items()} for r in repeats]
    edges = len(genotypes[0][labels[0]].operations) + len(genotypes[0][labels[0]].attentions)
    between_tasks = _mean([_apart(a, b) for each in genotypes for a, b in itertools.combinations(each.values(), 2)])
    between_seeds = _mean(
        [_apart(a[k], b[k]) for k in labels for a, b in itertools.combinations(genotypes, 2)] or [float("nan")]
    )
    return f"""# Structures of their own?

The paper says that structures differ between tasks. Do they here, and does it pay? {len(repeats)} searches for three
tasks at once on the photographs of scikit-image (`jsnas multitask`: shared weights, an architecture for each task, the
same candidates for all), each with a seed of its own; then every genotype was trained on every task. Validation PSNR in
dB on four photographs that nothing has learnt on. Below, the task's own genotype and the difference of the others from
it, mean and Student interval ({CONFIDENCE:.0%}) over the searches; Holm's correction decides what is shown.

{transfer_table(found)}

**{found.verdict}**, over all tasks.

Two tasks of one search differ on {between_tasks:.1f} of {edges} edges on average; two searches for one task, which
differ in the seed alone, on {between_seeds:.1f}. Differences between tasks mean something as far as they exceed those
between seeds; the tasks of one search start from the same architecture parameters.

Settings: `quick` with {used["iterations"]} iterations of search for each task ({used["warmup"]} of warm-up),
{used["training"]} of each training, {used["modules"]} module of {used["channels"]} channels
({used["inner_channels"]} in the operation graph), all operations, attentions
{", ".join(used["attentions"])}. This is a small budget: it can miss a difference that long
searches and trainings would show.

Made by `python -m benchmarks.transfer --json benchmarks/transfer.json --page benchmarks/transfer.md`, on
{content["machine"]["date"][:10]}, {content["machine"]["processor"]}, {content["machine"]["threads"]} thread,
torch {content["machine"]["versions"]["torch"]}, {content["seconds"] / 60:.0f} minutes. All figures:
[transfer.json](transfer.json); `--from benchmarks/transfer.json` writes this page from them.
"""


def _apart(a: Genotype, b: Genotype) -> float:
    """On how many edges two genotypes differ."""
    return float(differences({"a": a, "b": b})["differing"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = page_parser(__doc__, "runs/transfer")
    parser.add_argument("--seeds", type=int, default=10, help="searches")
    parser.add_argument("--iterations", type=int, default=200, help="of each search")
    parser.add_argument("--warmup", type=int, default=60, help="of them, on the weights alone")
    parser.add_argument("--training", type=int, default=300, help="iterations of each training")
    a = parser.parse_args()
    make_page(a, lambda: measure(a.seeds, a.iterations, a.warmup, a.training, a.work), page)


if __name__ == "__main__":
    main()
