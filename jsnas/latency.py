"""Latency of candidates on this machine: each is timed alone at its shape, once, and kept in a cache.

The cost of a network is then a sum (``jsnas.cost_table``), scaled by what a few whole networks took. A time is the
smallest of several, which other work on the machine disturbs least. The cache lies under the user's cache folder, a
file for each machine and setting.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jsnas.attentions import ATTENTIONS
from jsnas.cost import PAPER_SIZE
from jsnas.cost_table import Candidates, CostTable
from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.genotype import ATTENTION, OPERATION, Edge, Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS

_ROUNDS, _REPEATS = 8, 3
_CALIBRATIONS = 3  # whole networks that are measured too
_LONGEST_SECONDS = 0.5  # of the repeats of one module in a round
Timed = tuple[nn.Module, torch.Tensor]


def latency_table(
    settings: NetworkSettings,
    plain: Genotype,
    device: torch.device,
    operations: Candidates = OPERATIONS,
    attentions: Candidates = ATTENTIONS,
    output_size: tuple[int, int] = PAPER_SIZE,
    cache: Path | None = None,
) -> CostTable:
    """Seconds that each candidate adds to one image, measured on this machine or read from the cache.

    Args:
        settings: Size of the network.
        plain: A genotype of the wanted edges that holds ``skip`` everywhere.
        device: Where to measure.
        operations: The candidates by name.
        attentions: The same for attentions.
        output_size: Height and width of the restored image in pixels.
        cache: Folder of the cache; by default ``jsnas/latency`` in the user's.

    Raises:
        InputError: If the size is below what the network or a candidate takes.
    """
    key = _key(settings, plain, device, operations, attentions, output_size)
    path = (
        cache or cache_folder()
    ) / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]}.json"
    kept = _read(path, key)
    if kept is not None:
        return kept
    height, width = (side // settings.scale for side in output_size)

    def made(part: str, candidates: Candidates, channels: int) -> dict[tuple[str, str], Timed]:
        x = torch.randn(1, channels, height, width, device=device)
        blocks = {(part, name): make(channels).to(device).eval() for name, make in candidates.items()}
        for (_, name), block in blocks.items():
            smallest = int(getattr(block, "smallest_input", 1))
            if min(height, width) < smallest:
                raise InputError(
                    f"'{name}' takes {smallest} pixels a side, but the input is {width}x{height}; enlarge the size."
                )
        return {key: (block, x) for key, block in blocks.items() if not isinstance(block, _FREE)}

    timed: dict[tuple[str, str], Timed] = {
        **made(OPERATION, operations, settings.inner_channels),
        **made(ATTENTION, attentions, settings.channels),
    }
    image = _image(settings, device, output_size)
    mixed = [_mixed_genotype(plain, operations, attentions, start) for start in range(_CALIBRATIONS)]
    networks = [JSNet(plain, settings), *(JSNet(g, settings, operations, attentions) for g in mixed)]
    whole: list[Timed] = [(network.to(device).eval(), image) for network in networks]
    measured = times_of([*timed.values(), *whole])
    seconds = dict(zip(timed, measured, strict=False))
    rest, *totals = measured[len(timed) :]

    def table_with(factor: float) -> CostTable:
        edges = {
            part: {name: factor * settings.modules * seconds.get((part, name), 0.0) for name in candidates}
            for part, candidates in ((OPERATION, operations), (ATTENTION, attentions))
        }
        return CostTable("seconds", edges, rest)

    # Among other blocks a block finds less of its data in the caches than alone, by much the same factor for all.
    alone = sum(table_with(1.0).predicted(genotype) - rest for genotype in mixed)
    together = sum(total - rest for total in totals)
    table = table_with(together / alone if alone > 0 and together > 0 else 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps({"key": key, **asdict(table)}, indent=1) + "\n", encoding="utf-8")
    return table


def _mixed_genotype(plain: Genotype, operations: Candidates, attentions: Candidates, start: int) -> Genotype:
    """A genotype whose edges hold the candidates in turn."""

    def filled(edges: tuple[tuple[Edge, str], ...], candidates: Candidates) -> tuple[tuple[Edge, str], ...]:
        names = list(candidates)
        return tuple((edge, names[(start * len(edges) + k) % len(names)]) for k, (edge, _) in enumerate(edges))

    return Genotype(plain.task, filled(plain.operations, operations), filled(plain.attentions, attentions))


def measure_latency(network: JSNet, device: torch.device, output_size: tuple[int, int] = PAPER_SIZE) -> float:
    """Seconds that a network takes for one image.

    Args:
        network: The network; it ends on the device.
        device: Where to measure.
        output_size: Height and width of the restored image in pixels.
    """
    (seconds,) = times_of([(network.to(device).eval(), _image(network.settings, device, output_size))])
    return seconds


def times_of(timed: Sequence[Timed]) -> list[float]:
    """The smallest of several times of one forward pass of each module, in seconds.

    They take turns, so that a machine that is slow for a while is slow for all of them.

    Args:
        timed: Modules, each with its input on the same device.
    """
    best = [math.inf] * len(timed)
    with torch.inference_mode():
        for module, x in timed:
            module(x)
        for _ in range(_ROUNDS):
            for k, (module, x) in enumerate(timed):
                spent = 0.0
                for _ in range(_REPEATS):
                    _finish(x)
                    start = time.perf_counter()
                    module(x)
                    _finish(x)
                    elapsed = time.perf_counter() - start
                    best[k], spent = min(best[k], elapsed), spent + elapsed
                    if spent > _LONGEST_SECONDS:
                        break
    return best


def _image(settings: NetworkSettings, device: torch.device, output_size: tuple[int, int]) -> torch.Tensor:
    height, width = (side // settings.scale for side in output_size)
    return 255 * torch.rand(1, settings.image_channels, height, width, device=device)


def cache_folder() -> Path:
    """The folder of measured tables: ``$XDG_CACHE_HOME/jsnas/latency``, by default under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "jsnas" / "latency"


def machine_name(device: torch.device) -> str:
    """The machine and the device, as far as they can be told by name."""
    if device.type == "cuda":
        return f"{platform.node()}, {torch.cuda.get_device_name(device)}"
    return f"{platform.node()}, {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


_FREE = (OPERATIONS["skip"], ATTENTIONS["skip"])  # they pass their input on


def _key(
    settings: NetworkSettings,
    plain: Genotype,
    device: torch.device,
    operations: Candidates,
    attentions: Candidates,
    output_size: tuple[int, int],
) -> dict[str, Any]:
    def named(candidates: Candidates) -> dict[str, str]:
        return {
            name: f"{getattr(make, '__module__', '')}:{getattr(make, '__qualname__', '')}"
            for name, make in candidates.items()
        }

    key = {
        "machine": machine_name(device),
        "torch": torch.__version__,
        "settings": asdict(settings),
        "edges": plain.to_dict(),
        "output_size": list(output_size),
        "operations": named(operations),
        "attentions": named(attentions),
    }
    content: dict[str, Any] = json.loads(json.dumps(key))
    return content


def _read(path: Path, key: dict[str, Any]) -> CostTable | None:
    """The table in a file, or ``None`` if there is none, or it is of something else or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        edges = {
            part: {name: float(s) for name, s in content["edges"][part].items()} for part in (OPERATION, ATTENTION)
        }
        return CostTable("seconds", edges, float(content["rest"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _finish(x: torch.Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
