"""How fast training patches are read: the mapped H5 against RAM, h5py slicing and decoding PNGs.

    python -m benchmarks.h5_reading --json h5_reading.json

All ways take the same 128 x 128 crops from the same 2040 x 1356 images (DIV2K's size), in turns within one process, so
that a slow moment of the machine hits all of them. The figures are medians over the rounds, from the page cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import PIL
import skimage.data
import torch
from PIL import Image

from benchmarks.machine import machine, seconds
from jsnas.data.h5 import H5Images
from jsnas.data.images import Pixels, read_image, write_png
from jsnas.data.pack import pack
from jsnas.data.patches import PatchBatches, patch_loader
from jsnas.task import Task

WIDTH, HEIGHT, CROP = 2040, 1356, 128
PHOTOS = ("astronaut", "chelsea", "coffee")  # shipped with scikit-image
X2, CPU = Task("sr", scale=2), torch.device("cpu")


def photo(index: int) -> Pixels:
    """A 2K image: a photo enlarged, with a little grain so that the PNG is as hard to decode as a real one."""
    rng = np.random.default_rng(index)
    source = Image.fromarray(getattr(skimage.data, PHOTOS[index % len(PHOTOS)])())
    turned = source.rotate(90 * int(rng.integers(4)), expand=True)
    large = np.asarray(turned.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)).astype(np.float32)
    large += rng.normal(0, 2.0, large.shape).astype(np.float32)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)


def crop_times(folder: Path, h5_path: Path, rounds: int, crops: int) -> dict[str, float]:
    """Median seconds a crop, by way of reading."""
    mapped = H5Images(h5_path)
    files = [folder / f"{name}.png" for name in mapped.names]
    in_ram = [mapped.hq(index).copy() for index in range(len(mapped))]
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"mapped": [], "ram": [], "h5py": [], "png": []}
    with h5py.File(h5_path) as file:
        datasets = [file[f"hq/{index:06d}"] for index in range(len(mapped))]

        def whole(index: int, way: str) -> Any:
            if way == "mapped":
                return mapped.hq(index)
            if way == "ram":
                return in_ram[index]
            return datasets[index] if way == "h5py" else read_image(files[index], 3)

        ways = list(times)
        for turn in range(rounds):
            places = [
                (int(rng.integers(len(mapped))), int(rng.integers(HEIGHT - CROP)), int(rng.integers(WIDTH - CROP)))
                for _ in range(crops)
            ]
            for way in ways[turn % 4 :] + ways[: turn % 4]:
                some = places[: max(1, crops // 500)] if way == "png" else places

                def run(way: str = way, some: list[tuple[int, int, int]] = some) -> None:
                    for index, top, left in some:
                        np.array(whole(index, way)[top : top + CROP, left : left + CROP])

                times[way].append(seconds(run, CPU) / len(some))
    return {way: statistics.median(values) for way, values in times.items()}


def batch_times(images: H5Images, batches: int, rounds: int) -> dict[str, float]:
    """Median seconds a batch of 16 pairs (64 x 64 and 128 x 128), with 0, 1 and 2 workers, after their start."""
    stream = PatchBatches(images, X2, range(len(images)), patch_size=CROP // 2, batch_size=16, seed=0)
    times: dict[str, list[float]] = {"0": [], "1": [], "2": []}
    for _ in range(rounds):
        for workers, values in times.items():
            loader = iter(patch_loader(stream, 0, batches + 10, int(workers)))
            for _ in range(10):
                next(loader)
            values.append(seconds(lambda loader=loader: [None for _ in loader], CPU) / batches)  # type: ignore[misc]
    return {workers: statistics.median(values) for workers, values in times.items()}


def pack_rates(folder: Path, out: Path, rounds: int) -> dict[str, float]:
    """Median images a second of packing, and of decoding the same files one after the other."""
    files = sorted(folder.glob("*.png"))
    rates: dict[str, list[float]] = {"pack": [], "decode": []}
    for _ in range(rounds):
        rates["pack"].append(len(files) / pack(folder, out, X2).seconds)
        rates["decode"].append(len(files) / seconds(lambda: [read_image(file, 3).shape for file in files], CPU))
    return {way: statistics.median(values) for way, values in rates.items()}


def measure(count: int, rounds: int, crops: int, batches: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder, h5_path = Path(temporary) / "images", Path(temporary) / "images.h5"
        folder.mkdir()
        for index in range(count):
            write_png(folder / f"{index:04d}.png", photo(index))
        rates = pack_rates(folder, h5_path, min(rounds, 3))
        crop = crop_times(folder, h5_path, rounds, crops)
        batch = batch_times(H5Images(h5_path), batches, min(rounds, 5))
    described = machine(CPU)
    return {
        "benchmark": "h5_reading",
        **described,
        "versions": {
            **described["versions"],
            "numpy": np.__version__,
            "h5py": h5py.__version__,
            "pillow": PIL.__version__,
        },
        "settings": {"images": count, "size": [WIDTH, HEIGHT], "crop": CROP, "rounds": rounds, "crops": crops},
        "ratio_vs_ram": crop["ram"] / crop["mapped"],
        "ratio_vs_h5py": crop["h5py"] / crop["mapped"],
        "ratio_vs_png": crop["png"] / crop["mapped"],
        "seconds_per_crop": crop,
        "seconds_per_batch": batch,
        "images_per_second": rates,
    }


def table(result: dict[str, Any]) -> str:
    names = {"mapped": "mapped H5", "ram": "array in RAM", "h5py": "h5py slicing", "png": "decoding the PNG"}
    base = result["seconds_per_crop"]["mapped"]
    lines = [f"{CROP} x {CROP} crop of a {WIDTH} x {HEIGHT} image"]
    for way, value in result["seconds_per_crop"].items():
        lines.append(f"  {names[way]:<18}{value * 1e6:>12,.1f} us   {value / base:>9,.2f} x mapped H5")
    lines.append("batch of 16 pairs, flipped and rotated")
    for workers, value in result["seconds_per_batch"].items():
        lines.append(f"  {workers + ' workers':<18}{value * 1e3:>12,.2f} ms   {1 / value:>9,.0f} batches/s")
    lines.append("images a second")
    for way, value in result["images_per_second"].items():
        lines.append(f"  {way:<18}{value:>12,.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--images", type=int, default=12, help="how many 2K images to make")
    parser.add_argument("--rounds", type=int, default=9, help="how often every way takes its turn")
    parser.add_argument("--crops", type=int, default=1000, help="crops a round")
    parser.add_argument("--batches", type=int, default=100, help="batches a round")
    arguments = parser.parse_args()
    result = measure(arguments.images, arguments.rounds, arguments.crops, arguments.batches)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
