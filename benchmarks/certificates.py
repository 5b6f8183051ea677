"""Certificates of exported networks: `jsnet-sr` at every scale, and random genotypes of all tasks.

    python -m benchmarks.certificates --json certificates.json --weights x2.safetensors x4.safetensors

Each network is exported to ONNX and to torch.export and compared with itself as `jsnas export` does it. A scale with no
checkpoint takes all but its enlarging layers from another's, and random genotypes have fresh weights. These are in one
module by default: five modules of fresh weights can magnify the rounding of float32 itself to whole levels, in torch as
in ONNX Runtime, which a trained network does not. `--genotypes 2 --scales 2` is over in a minute or
two. The exit code is 1 if a certificate breaks its limits.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task, load_checkpoint
from jsnas.certificate import MAX_DIFFERENCE, MAX_FLIPPED_PPM
from jsnas.exported import export_onnx, export_pt2
from trainers.bench import random_genotype
from trainers.config_file import load_config

CONFIGS = ("sr-x2", "denoise-30", "sr-x3", "deblock-10", "sr-x4")  # of the random genotypes, in turns


def networks(
    scales: list[int], count: int, modules: int, weights: list[Path], seed: int
) -> Iterator[tuple[str, Task, JSNet]]:
    """Name, task and network of each case."""
    trained = {network.settings.scale: (path.name, network) for path in weights for network in [load_checkpoint(path)]}
    torch.manual_seed(seed)
    for scale in scales:
        task = Task("sr", scale)
        if scale in trained:
            name, network = trained[scale]
            yield f"jsnet-sr x{scale} ({name})", task, network
        else:
            genotype = Genotype.load("jsnet-sr").with_scale(scale)
            network = JSNet(genotype, NetworkSettings.for_task(task)).eval()
            origin = "fresh"
            if trained:
                origin, other = next(iter(trained.values()))
                shared = {k: v for k, v in other.state_dict().items() if not k.startswith(("upsample.", "tail."))}
                network.load_state_dict(shared, strict=False)
                origin = f"{origin}, fresh enlarging layers"
            yield f"jsnet-sr x{scale} ({origin})", task, network
    rng = np.random.default_rng(seed)
    for number in range(count):
        config = load_config(CONFIGS[number % len(CONFIGS)])
        task = config.to_task()
        network = JSNet(random_genotype(config, rng), NetworkSettings.for_task(task, modules)).eval()
        yield f"random {number + 1} ({task.label})", task, network


def measure(cases: Iterator[tuple[str, Task, JSNet]]) -> list[dict[str, Any]]:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, task, network in cases:
            result: dict[str, Any] = {"name": name, "task": task.to_dict(), "genotype": network.genotype.to_dict()}
            for form, export in (("onnx", export_onnx), ("pt2", export_pt2)):
                start = time.monotonic()
                try:
                    certificate = export(network, task, Path(folder) / f"net.{form}")
                except InputError as error:
                    result[form] = {"error": str(error)}
                    print(f"{name:<52} {form:<4} FAILED: {error}", flush=True)
                    continue
                result[form] = {**certificate.to_dict(), "seconds": round(time.monotonic() - start, 1)}
                print(
                    f"{name:<52} {form:<4} difference {certificate.largest_difference:.2e}   "
                    f"{certificate.flipped_ppm:5.1f} ppm flipped   safe tile overlap {certificate.tiles.safe}   "
                    f"{result[form]['seconds']:.0f} s",
                    flush=True,
                )
            results.append(result)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--scales", type=int, nargs="*", default=[2, 3, 4], help="scales of jsnet-sr")
    parser.add_argument("--genotypes", type=int, default=20, help="number of random genotypes")
    parser.add_argument("--modules", type=int, default=1, help="modules of random genotypes (default: 1)")
    parser.add_argument("--weights", type=Path, nargs="*", default=[], help="checkpoints of jsnet-sr")
    parser.add_argument("--seed", type=int, default=0, help="of weights and genotypes")
    arguments = parser.parse_args()
    results = measure(
        networks(arguments.scales, arguments.genotypes, arguments.modules, arguments.weights, arguments.seed)
    )
    checks = [result[form] for result in results for form in ("onnx", "pt2")]
    good = [check for check in checks if "error" not in check]
    summary = {
        "benchmark": "certificates",
        **machine(torch.device("cpu")),
        "seed": arguments.seed,
        "limits": {"largest_difference": MAX_DIFFERENCE, "flipped_ppm": MAX_FLIPPED_PPM},
        "networks": len(results),
        "failed": len(checks) - len(good),
        "largest_difference": max((check["largest_difference"] for check in good), default=None),
        "most_flipped_ppm": max((check["flipped_ppm"] for check in good), default=None),
        "results": results,
    }
    print({key: summary[key] for key in ("networks", "failed", "largest_difference", "most_flipped_ppm")})
    if arguments.json:
        arguments.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(1 if summary["failed"] else 0)


if __name__ == "__main__":
    main()
