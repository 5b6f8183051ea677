"""How fast a derived network trains, from packed images to the optimizer's step.

    python -m benchmarks.train_step --json train_step.json

The paper's settings (5 modules, 64 channels, batch 16 of 64 x 64 patches) unless said otherwise. The loop is that of
`jsnas train` with its loader; ours, the same with one batch kept (no data path), take turns. The share of time that the
loop waits for the loader is measured around `next`; on a GPU, which computes meanwhile, it is what the loop takes more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.h5_reading import photo
from benchmarks.machine import ceiling, in_turns, machine, ratio
from jsnas.cost import cost_of
from jsnas.data.h5 import H5Images
from jsnas.data.images import write_png
from jsnas.data.pack import pack
from jsnas.data.patches import PatchBatches, patch_loader
from jsnas.fast.cuda_graph import WARM_UP
from jsnas.lookup import network_of
from jsnas.process import prepare_process
from jsnas.task import Task
from trainers.config_file import load_config
from trainers.learning_step import LearningStep, fabric_of

X2 = Task("sr", scale=2)


def packed_photographs(folder: Path) -> H5Images:
    (folder / "images").mkdir()
    for index in range(6):
        write_png(folder / "images" / f"{index:04d}.png", photo(index))
    pack(folder / "images", folder / "images.h5", X2)
    return H5Images(folder / "images.h5")


def in_turns_with_waits(
    step: Callable[[tuple[Tensor, Tensor]], None],
    batches: Iterator[tuple[Tensor, Tensor]],
    iterations: int,
    rounds: int,
    device: torch.device,
) -> tuple[dict[str, list[float]], list[float], float]:
    """Seconds of the loop, of its steps alone and of the ceiling; seconds waited for data; the ceiling's operations."""
    kept = next(batches)
    for _ in range(WARM_UP + 1 if device.type == "cuda" else 0):
        step(kept)
    waits: list[float] = []

    def with_data() -> None:
        waited = 0.0
        for _ in range(iterations):
            start = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - start
            step(batch)
        waits.append(waited)

    def without_data() -> None:
        for _ in range(iterations):
            step(kept)

    large, operations = ceiling(device)
    times = in_turns({"whole": with_data, "step": without_data, "ceiling": large}, rounds, device)
    return times, waits[1:], operations  # the first turn does not count


def peak_memory(device: torch.device) -> float:
    """MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(
    batch_size: int, patch: int, iterations: int, rounds: int, workers: int, device: torch.device, bf16: bool
) -> dict[str, Any]:
    torch.manual_seed(0)
    config = load_config("sr-x2", [f"--device={device}", f"--precision={'bf16-mixed' if bf16 else '32-true'}"])
    network = network_of("jsnet-sr", scale=2)
    learn = LearningStep(network, config, fabric_of(config))

    def step(batch: tuple[Tensor, Tensor]) -> None:
        learn(batch, config.train.learning_rate)

    with tempfile.TemporaryDirectory() as temporary:
        images = packed_photographs(Path(temporary))
        stream = PatchBatches(images, X2, range(len(images)), patch, batch_size, seed=0)
        loader = patch_loader(stream, 0, (rounds + 2) * iterations + 8, workers, pinned=device.type == "cuda")
        times, waits, operations = in_turns_with_waits(step, iter(loader), iterations, rounds, device)
    side = patch * 2
    work = 3 * 2.0 * cost_of(network, (side, side)).multiply_adds * batch_size * iterations
    if device.type == "cuda":
        # The host waits for batches while the GPU computes, so the loop with data is held against that without.
        waiting = [max(0.0, 1 - step / whole) for step, whole in zip(times["step"], times["whole"], strict=True)]
    else:
        waiting = [w / t for w, t in zip(waits, times["whole"], strict=True)]
    per_second = [iterations / t for t in times["whole"]]
    rate = statistics.median(per_second)
    return {
        "benchmark": "train_step",
        **machine(device),
        "settings": {
            "network": "jsnet-sr x2",
            "batch_size": batch_size,
            "patch": patch,
            "workers": workers,
            "precision": "bf16-mixed" if bf16 else "32-true",
            "rounds": rounds,
            "iterations": iterations,
        },
        "iterations_per_second": rate,
        "data_wait_share": statistics.median(waiting),
        "iterations_per_second_range": [min(per_second), max(per_second)],
        "iterations_per_second_without_data": iterations / statistics.median(times["step"]),
        "share_of_ceiling": ratio(times, "ceiling", "whole") * work / operations,
        "peak_memory_mib": peak_memory(device),
        "hours_for_1000000_iterations": 1e6 / rate / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--batch-size", type=int, default=16, help="patches a batch")
    parser.add_argument("--patch", type=int, default=64, help="side of the low-quality patches")
    parser.add_argument("--iterations", type=int, default=2, help="iterations a round")
    parser.add_argument("--rounds", type=int, default=5, help="how often every way takes its turn")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of the loader")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bf16", action="store_true", help="mixed precision, bfloat16")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    prepare_process()  # as `jsnas` does
    device = torch.device(arguments.device)
    result = measure(
        arguments.batch_size,
        arguments.patch,
        arguments.iterations,
        arguments.rounds,
        arguments.workers,
        device,
        arguments.bf16,
    )
    for name in (
        "iterations_per_second",
        "iterations_per_second_without_data",
        "data_wait_share",
        "share_of_ceiling",
        "peak_memory_mib",
        "hours_for_1000000_iterations",
    ):
        print(f"  {name:<36}{result[name]:>12.4g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
