"""What all benchmarks share: the machine's description, its measured ceiling, and timing in turns."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jsnas.native.library import compiled


def machine(device: torch.device) -> dict[str, Any]:
    """Date, platform, processor, threads, load and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "loops_in_c": compiled(),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall seconds of one call, the device's work included."""
    _finish(device)
    start = time.perf_counter()
    call()
    _finish(device)
    return time.perf_counter() - start


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each call in each round; all take their turn in every round, after one call that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    names = list(calls)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(seconds(calls[name], device))
    return times


def ratio(times: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """Median over the rounds of one call's time over the other's."""
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))


def ceiling(device: torch.device) -> tuple[Callable[[], object], float]:
    """A large 3x3 convolution in its best layout, and its floating-point operations."""
    channels, side = (256, 96) if device.type == "cpu" else (512, 256)
    conv = nn.Conv2d(channels, channels, 3, padding=1).to(device).requires_grad_(False)
    conv = conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    x = torch.rand(1, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
    return lambda: conv(x), 2.0 * 9 * channels**2 * side**2


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
