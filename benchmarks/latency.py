"""How long `jsnet-sr` takes for an image: plain, in its fast form, and compiled.

    python -m benchmarks.latency --json latency.json

All ways and the machine's ceiling (a large 3x3 convolution) take turns within one process. Ratios are medians over the
rounds of the ratios within a round; a share of the ceiling counts the plain network's operations, so that work saved
by algebra counts as speed. `compiled` is the plain network, channels-last, under torch.compile; it needs a C++
compiler and is left out where there is none.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import ceiling, in_turns, machine, ratio
from jsnas.cost import cost_of
from jsnas.fast.inference.network import fast_network
from jsnas.lookup import network_of
from jsnas.network import JSNet
from jsnas.process import prepare_process


def compiled_network(network: JSNet, x: Tensor) -> Callable[[Tensor], Tensor] | None:
    """The plain network under torch.compile, compiled for one shape; ``None`` where that fails."""
    model = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled: Callable[[Tensor], Tensor] = torch.compile(model, dynamic=False)
    try:
        with torch.inference_mode():
            compiled(x)
    except Exception as error:  # whatever the compiler's absence raises
        print(f"torch.compile does not work here ({type(error).__name__}); compiled is left out.")
        return None
    return compiled


def measure_size(network: JSNet, output: int, rounds: int, device: torch.device, with_compiled: bool) -> dict[str, Any]:
    side = output // network.settings.scale
    x = 255 * torch.rand(1, network.settings.image_channels, side, side, device=device)
    fast = fast_network(network)
    large, operations = ceiling(device)
    calls: dict[str, Callable[[], object]] = {
        "plain": lambda: network(x),
        "fast": lambda: fast(x),
        "ceiling": large,
    }
    compiled = compiled_network(network, x.contiguous(memory_format=torch.channels_last)) if with_compiled else None
    if compiled is not None:
        calls["compiled"] = lambda: compiled(x)
    with torch.inference_mode():
        times = in_turns(calls, rounds, device)
    work = 2.0 * cost_of(network, (side * network.settings.scale,) * 2).multiply_adds
    result: dict[str, Any] = {
        "output": side * network.settings.scale,
        "gflop": work / 1e9,
        "ceiling_gflop_per_second": operations / statistics.median(times["ceiling"]) / 1e9,
        "milliseconds": {
            way: {
                "median": 1e3 * statistics.median(values),
                "least": 1e3 * min(values),
                "most": 1e3 * max(values),
            }
            for way, values in times.items()
            if way != "ceiling"
        },
        "ratio_vs_plain": {way: ratio(times, "plain", way) for way in calls if way not in ("plain", "ceiling")},
        "share_of_ceiling": {
            way: ratio(times, "ceiling", way) * work / operations for way in calls if way != "ceiling"
        },
    }
    return result


def measure(
    scales: list[int], outputs: list[int], rounds: int, device: torch.device, with_compiled: bool
) -> dict[str, Any]:
    by_scale: dict[str, dict[str, Any]] = {}
    for scale in scales:
        torch.manual_seed(0)
        network = network_of("jsnet-sr", scale=scale).eval().to(device)
        by_scale[f"x{scale}"] = {}
        for output in outputs:
            result = measure_size(network, output, rounds, device, with_compiled)
            by_scale[f"x{scale}"][str(output)] = result
            print(line(scale, result), flush=True)
            torch.compiler.reset()
    first = by_scale[f"x{scales[0]}"]
    middle = first["512" if "512" in first else str(outputs[0])]
    return {
        "benchmark": "latency",
        **machine(device),
        "settings": {"network": "jsnet-sr", "scale": scales[0], "rounds": rounds, "device": str(device)},
        "ratio_vs_plain": middle["ratio_vs_plain"]["fast"],
        "share_of_ceiling": middle["share_of_ceiling"]["fast"],
        "milliseconds": {output: result["milliseconds"]["fast"]["median"] for output, result in first.items()},
        "by_scale": by_scale,
    }


def line(scale: int, result: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [f"x{scale} {result['output']:>5}"]
    for way, times in result["milliseconds"].items():
        share = result["share_of_ceiling"][way]
        times_faster = result["ratio_vs_plain"].get(way, 1.0)
        spread = f"{times['least']:.1f}-{times['most']:.1f}"
        cells.append(f"{way} {times['median']:8.1f} ms [{spread}] {times_faster:5.2f}x {share:4.0%}")
    return "   ".join(cells) + f"   ceiling {result['ceiling_gflop_per_second']:.0f} GFLOP/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4], help="scales (default: 2 3 4)")
    parser.add_argument("--outputs", type=int, nargs="+", default=[512, 256, 1024], help="output sides in pixels")
    parser.add_argument("--rounds", type=int, default=7, help="how often every way takes its turn")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--no-compiled", action="store_true", help="leave torch.compile out")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    prepare_process()  # as the command line does
    device = torch.device(arguments.device)
    result = measure(arguments.scales, arguments.outputs, arguments.rounds, device, not arguments.no_compiled)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
