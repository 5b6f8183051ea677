"""How long one search iteration takes: the architecture's step and the weights' step.

    python -m benchmarks.search_step --json search_step.json

Three ways to search the paper's joint space (4 modules, 64 channels): `fast`, `jsnas search` as it comes; `plain`, the
same without its fast form; `nni`, NNI's own DARTS (all channels, as NNI has it). They take turns in one process, each
run by its own Lightning trainer. Peak memory is that of a process of its own for each way, above what the process held
before it built the network. A share of the ceiling counts the plain network's operations, 2 passes for the
architecture's step (forward, and gradients of maps) and 3 for the weights'.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import ceiling, machine, seconds
from jsnas.fast.cuda_graph import WARM_UP
from jsnas.process import prepare_process
from jsnas.strategy import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.nni_api import DARTS, Trainer
from search_spaces import JointSearchSpace
from trainers.restoration_module import RestorationModule
from trainers.search import quiet_nni

WAYS = ("fast", "plain", "nni")


class Clock(pl.Callback):
    """Seconds of every iteration."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self._start = device, list[float](), 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        self._start = self._now()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.seconds.append(self._now() - self._start)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


class Search:
    """A search that can be run for some iterations at a time."""

    def __init__(
        self,
        way: str,
        batch: int,
        patch: int,
        device: torch.device,
        precision: str,
        size: Mapping[str, Any] | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.device, self.precision = device, precision
        space = JointSearchSpace("sr", 2, **(size or {}))
        settings = PartialChannelSettings(weight_warmup_iters=0, fast=way == "fast")
        self.strategy: Any = DARTS() if way == "nni" else PartialChannelDARTS(settings)
        self.strategy.mutate_model(space)
        training = RestorationModule(1e-4, (0.9, 0.999), 0.0)
        training.set_model(space)
        self.module = self.strategy.configure_oneshot_module(training)
        sides = (patch, 2 * patch)
        self.batch = tuple(torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8) for side in sides)

    def run(self, iterations: int) -> list[float]:
        """Seconds of each iteration; those before them do not count: one, on a GPU until one is recorded."""
        clock, before = Clock(self.device), WARM_UP + 1 if self.device.type == "cuda" else 1
        loader: Any = DataLoader([self.batch] * (before + iterations), batch_size=None)  # type: ignore[arg-type]
        trainer = Trainer(
            max_epochs=1,
            accelerator="gpu" if self.device.type == "cuda" else "cpu",
            devices=1,
            precision=self.precision,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self.module, self.strategy.train_dataloader(lambda: loader, lambda: loader))
        return clock.seconds[before:]


def operations(batch: int, patch: int) -> float:
    """Floating-point operations of one forward pass of the plain supernet."""
    search = Search("plain", 1, patch, torch.device("cpu"), "32-true")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        search.module.training_module.model(search.batch[0].float())
    return float(counter.get_total_flops()) * batch


def peak_memory(way: str, arguments: argparse.Namespace) -> float:
    """MiB that a search of a process's own took at most above its start."""
    command = [sys.executable, "-m", "benchmarks.search_step", "--memory-of", way, "--batch", str(arguments.batch)]
    command += ["--patch", str(arguments.patch), "--device", arguments.device, "--precision", arguments.precision]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1])


def own_peak(make: Callable[[], Search]) -> tuple[float, list[float]]:
    """MiB that a search takes at most above what this process holds now, and seconds of two iterations."""
    before = _status("VmRSS")
    search = make()
    times = search.run(2)
    if search.device.type == "cuda":
        return torch.cuda.max_memory_allocated(search.device) / 2**20, times
    return _status("VmHWM") - before, times


def gpu_peak(search: Search) -> float:
    """MiB of the GPU that a search takes at most above what it holds now."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(search.device)
    before = torch.cuda.memory_allocated(search.device)
    search.run(2)
    return (torch.cuda.max_memory_allocated(search.device) - before) / 2**20


def _status(name: str) -> float:
    """A figure of Linux's account of this process, in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError(f"This system does not tell {name}.")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device = torch.device(arguments.device)
    memory = {way: peak_memory(way, arguments) for way in WAYS} if device.type == "cpu" else {}
    searches: dict[str, Search] = {}
    for way in WAYS:
        searches[way] = Search(way, arguments.batch, arguments.patch, device, arguments.precision)
        if device.type == "cuda":  # which tells without a process of its own
            memory[way] = gpu_peak(searches[way])
    large, large_operations = ceiling(device)
    large()
    times: dict[str, list[float]] = {way: [] for way in (*WAYS, "ceiling")}
    for turn in range(arguments.rounds):
        for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            times[way].append(statistics.median(searches[way].run(arguments.iterations)))
        times["ceiling"].append(seconds(large, device))
    work = 5 * operations(arguments.batch, arguments.patch)

    def ratio(slow: str) -> float:
        return statistics.median(a / b for a, b in zip(times[slow], times["fast"], strict=True))

    shares = [work / large_operations * c / f for c, f in zip(times["ceiling"], times["fast"], strict=True)]
    rate = 1 / statistics.median(times["fast"])
    return {
        "benchmark": "search_step",
        **machine(device),
        "settings": {
            "space": "joint, sr x2, 4 modules",
            **{name: getattr(arguments, name) for name in ("batch", "patch", "rounds", "iterations", "precision")},
        },
        "ratio_vs_nni_darts": ratio("nni"),
        "ratio_vs_plain": ratio("plain"),
        "memory_ratio_vs_nni_darts": memory["fast"] / memory["nni"],
        "share_of_ceiling": statistics.median(shares),
        "seconds": {way: {"median": statistics.median(t), "least": min(t), "most": max(t)} for way, t in times.items()},
        "peak_memory_mib": memory,
        "iterations_per_second": rate,
        "hours_for_400000_iterations": 400_000 / rate / 3600,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--batch", type=int, default=4, help="patches a batch")
    parser.add_argument("--patch", type=int, default=64, help="side of the low-quality patches")
    parser.add_argument("--rounds", type=int, default=5, help="how often every way takes its turn")
    parser.add_argument("--iterations", type=int, default=5, help="iterations a turn, after one that does not count")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="32-true", help="32-true or bf16-mixed")
    parser.add_argument("--memory-of", choices=WAYS, help="only print this way's peak memory above its start, in MiB")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    quiet_nni()
    prepare_process()  # as `jsnas` does, for all three ways
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        device = torch.device(arguments.device)
        settings = (arguments.memory_of, arguments.batch, arguments.patch, device, arguments.precision)
        print(own_peak(lambda: Search(*settings))[0])
        return
    result = measure(arguments)
    for way, spread in result["seconds"].items():
        memory = f"{result['peak_memory_mib'][way]:8.0f} MiB" if way in WAYS else ""
        print(f"  {way:<8} {spread['median']:8.4f} s [{spread['least']:.4f}-{spread['most']:.4f}] {memory}")
    for name in ("ratio_vs_nni_darts", "ratio_vs_plain", "memory_ratio_vs_nni_darts", "share_of_ceiling"):
        print(f"  {name:<28}{result[name]:8.3f}")
    print(f"  {'hours for 400,000 iterations':<28}{result['hours_for_400000_iterations']:8.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
