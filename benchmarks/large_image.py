"""A large image whole, in strips and in tiles: how far apart the results are, and how much memory each takes.

    python -m benchmarks.large_image --json large_image.json
    python -m benchmarks.large_image --checkpoint x2.safetensors --ways strips tiles

Each way runs in a process of its own, whose peak memory is measured. Without a checkpoint the network is a small one
with the attentions that look furthest (`esa`, `cca`, and `ca` in the fusion), so that the whole image fits; its full
feature maps are what `whole` holds. The first way that is named is what the others are compared with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from jsnas import Genotype, JSNet, NetworkSettings, Task, load_checkpoint, save_checkpoint
from jsnas.metrics import quantize
from jsnas.photographs import photographs, read_for
from jsnas.restore import restore_array
from jsnas.restorer import StripRestorer, TileRestorer
from jsnas.tiles.layout import Tiling

WAYS = ("whole", "strips", "tiles", "onnx")


def picture(height: int, width: int, task: Task) -> np.ndarray:
    """A large image: photographs side by side and mirrored, so that statistics differ from place to place."""
    rows = [
        np.concatenate(
            [np.pad(read_for(p, task), ((0, 600), (0, 600), (0, 0)), "symmetric")[:512, :512] for p in order], 1
        )
        for order in (photographs(), photographs()[::-1])
    ]
    block = np.concatenate(rows)
    down, across = -(-height // block.shape[0]), -(-width // block.shape[1])
    return np.ascontiguousarray(np.tile(block, (down, across, 1))[:height, :width])


def small_checkpoint(path: Path, channels: int) -> None:
    """A small network for denoising with every kind of attention that looks further than its neighbours."""
    genotype = Genotype(
        "denoise",
        (((0, 1), "rdb_light"),),
        (((0, 1), "esa"), ((0, 2), "skip"), ((1, 2), "cca")),
    )
    torch.manual_seed(0)
    network = JSNet(genotype, NetworkSettings(1, 1, 1, channels, max(channels // 4, 4))).eval()
    save_checkpoint(path, network, Task("denoise", sigma=30))


def peak_mib() -> float:
    """Peak resident memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def run_way(way: str, checkpoint: Path, size: tuple[int, int], tiling: Tiling, out: Path) -> None:
    """What a process of its own does: restores, and leaves the result and its figures."""
    network = load_checkpoint(checkpoint)
    device, lq = torch.device("cpu"), picture(*size, network.metadata["task"])
    if way == "whole":
        before, start = peak_mib(), time.monotonic()
        result = quantize(restore_array(network, lq, device))
    else:
        restorer = (
            StripRestorer(network, device)
            if way == "strips"
            else TileRestorer(network, tiling, device if way == "tiles" else None)
        )
        before, start = peak_mib(), time.monotonic()
        result = restorer(lq)
    figures = {"seconds": time.monotonic() - start, "peak_mib": peak_mib(), "peak_mib_before": before}
    np.save(out, result)
    out.with_suffix(".json").write_text(json.dumps(figures), encoding="utf-8")


def measure(options: argparse.Namespace, checkpoint: Path, folder: Path) -> list[dict[str, Any]]:
    results, first = [], None
    for way in options.ways:
        out = folder / f"{way}.npy"
        command = [sys.executable, "-m", "benchmarks.large_image", "--way", way, "--result", str(out)]
        command += ["--checkpoint", str(checkpoint), "--size", *map(str, options.size)]
        command += ["--tile", str(options.tile), "--overlap", str(options.overlap)]
        subprocess.run(command, check=True)
        figures = {"way": way, **json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))}
        result = np.load(out, mmap_mode="r")
        if first is None:
            first = result
        else:
            levels = np.zeros(256, np.int64)
            for row in range(0, len(result), 256):
                difference = np.abs(result[row : row + 256].astype(int) - first[row : row + 256])
                levels += np.bincount(difference.ravel(), minlength=256)
            figures["most_levels"] = int(np.flatnonzero(levels).max())
            figures["differing_ppm"] = float(1e6 * levels[1:].sum() / levels.sum())
        results.append(figures)
        print(figures, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--checkpoint", type=Path, help="network (default: a small one)")
    parser.add_argument("--size", type=int, nargs=2, default=[4000, 6000], help="height and width (default: 4000 6000)")
    parser.add_argument("--ways", nargs="+", default=["whole", "strips", "tiles"], choices=WAYS)
    parser.add_argument("--channels", type=int, default=8, help="channels of the small network")
    parser.add_argument("--tile", type=int, default=384, help="side of a tile")
    parser.add_argument("--overlap", type=int, default=72, help="overlap of tiles")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        tiling = Tiling(options.tile, options.overlap)
        run_way(options.way, options.checkpoint, tuple(options.size), tiling, options.result)
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if checkpoint is None:
            checkpoint = Path(folder) / "small.safetensors"
            small_checkpoint(checkpoint, options.channels)
        results = measure(options, checkpoint, Path(folder))
    summary = {
        "benchmark": "large_image",
        **machine(torch.device("cpu")),
        "size": options.size,
        "network": "small" if options.checkpoint is None else options.checkpoint.name,
        "tile": options.tile,
        "overlap": options.overlap,
        "ways": results,
    }
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
