"""The certificate of an exported file: how far it differs from the network it was made of.

The file and the network restore cuts of photographs of ten random sizes; then tiles are tried, and in fewer bits than
32 the PSNR on real images. A certificate that fails its limits is an error, and the file does not get its name.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.metrics import quantize
from jsnas.network import JSNet
from jsnas.photographs import random_cuts
from jsnas.portable import smallest_side
from jsnas.task import Task
from jsnas.tiles.overlap import TILE, TileOverlap, measure_overlap

SIZES = 10
_SEED = 0  # of sizes and cuts
LARGEST_TRIED = 200  # input pixels; what differs with the size shows by then, and it takes seconds
MAX_DIFFERENCE = 0.01  # on the 0-255 scale
MAX_FLIPPED_PPM = 100.0
MAX_LOSS_DB = {"fp16": 0.05, "int8": 1.0}
PRECISIONS = ("fp32", *MAX_LOSS_DB)

Restorer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class QualityLoss:
    """PSNR of a file in fewer bits beside that of the network, on real images that it was not fitted to.

    Attributes:
        images: Their names.
        network_psnr_db: Mean over the images, by the convention of the task.
        file_psnr_db: The same of the file.
    """

    images: tuple[str, ...]
    network_psnr_db: float
    file_psnr_db: float

    @property
    def loss_db(self) -> float:
        """What the fewer bits cost."""
        return self.network_psnr_db - self.file_psnr_db


@dataclass(frozen=True)
class Certificate:
    """What was measured of one exported file.

    Attributes:
        form: ``onnx`` or ``pt2``.
        precision: ``fp32``, ``fp16`` or ``int8``.
        runtime: What computed with the file, such as ``onnxruntime 1.32.0``.
        sizes: Heights and widths of the inputs tried.
        largest_difference: Largest absolute difference of an output value from the network's, on the 0-255 scale.
        values: Output values compared.
        flipped_ppm: How many of a million of them are another number after rounding to uint8.
        tiles: What was found about tiles.
        quality: Of fewer bits than 32.
    """

    form: str
    precision: str
    runtime: str
    sizes: tuple[tuple[int, int], ...]
    largest_difference: float
    values: int
    flipped_ppm: float
    tiles: TileOverlap
    quality: QualityLoss | None = None

    @property
    def smallest(self) -> tuple[int, int]:
        """The size with the fewest pixels."""
        return min(self.sizes, key=lambda size: size[0] * size[1])

    @property
    def largest(self) -> tuple[int, int]:
        """The size with the most pixels."""
        return max(self.sizes, key=lambda size: size[0] * size[1])

    def faults(self) -> list[str]:
        """What breaks the limits; empty for a good file."""
        found = []
        if self.precision == "fp32":
            if not self.largest_difference <= MAX_DIFFERENCE:
                found.append(f"a value differs by {self.largest_difference:.3g} (limit {MAX_DIFFERENCE})")
            if not self.flipped_ppm <= MAX_FLIPPED_PPM:
                found.append(f"{self.flipped_ppm:.0f} ppm of the uint8 values flip (limit {MAX_FLIPPED_PPM:.0f})")
        elif self.quality is None or not self.quality.loss_db <= MAX_LOSS_DB[self.precision]:
            loss = "unknown" if self.quality is None else f"{self.quality.loss_db:.2f} dB"
            found.append(f"{self.precision} costs {loss} of PSNR (limit {MAX_LOSS_DB[self.precision]} dB)")
        return found

    def __str__(self) -> str:
        lines = [
            f"Checked with {self.runtime} at {len(self.sizes)} sizes from {_size(self.smallest)} to "
            f"{_size(self.largest)}: largest difference {self.largest_difference:.2g} of 255, {self.flipped_ppm:.1f} "
            f"ppm of {self.values:,} uint8 values flip.",
            f"Tiles: {self.tiles}.",
        ]
        if self.quality is not None:
            lines.append(
                f"{self.precision}: {self.quality.file_psnr_db:.3f} dB where the network has "
                f"{self.quality.network_psnr_db:.3f} dB ({self.quality.loss_db:.3f} dB lost, "
                f"{len(self.quality.images)} images)."
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        content = asdict(self)
        content["sizes"] = [list(size) for size in self.sizes]
        content["smallest"], content["largest"] = list(self.smallest), list(self.largest)
        content["limits"] = (
            {"largest_difference": MAX_DIFFERENCE, "flipped_ppm": MAX_FLIPPED_PPM}
            if self.precision == "fp32"
            else {"loss_db": MAX_LOSS_DB[self.precision]}
        )
        if self.quality is not None:
            content["quality"]["loss_db"] = self.quality.loss_db
        return content


def certify(
    network: JSNet,
    task: Task,
    restorer: Restorer,
    form: str,
    runtime: str,
    precision: str = "fp32",
    quality: QualityLoss | None = None,
) -> Certificate:
    """Compares a loaded file with its network.

    Args:
        network: The network, on the CPU.
        task: What it is for.
        restorer: The loaded file, a function as the network is.
        form: ``onnx`` or ``pt2``.
        runtime: What computes.
        precision: ``fp32``, ``fp16`` or ``int8``.
        quality: Of fewer bits than 32.

    Raises:
        InputError: If the file cannot be run at one of the sizes.
    """
    rng = np.random.default_rng(_SEED)
    sizes = random_sizes(smallest_side(network), rng)
    largest, values, flipped = 0.0, 0, 0
    network = network.eval()
    with torch.inference_mode():
        for cut in random_cuts(task, sizes, rng):
            x = torch.from_numpy(cut.transpose(2, 0, 1).astype(np.float32))[None]
            expected = network(x).numpy()
            try:
                restored = restorer(x).numpy()
            except Exception as error:  # each runtime has its own
                size = _size(cut.shape[:2])
                raise InputError(
                    f"The file fails at {size} ({str(error).splitlines()[0]}); nothing was kept."
                ) from error
            if restored.shape != expected.shape:
                raise InputError(f"The file gives {restored.shape} where the network gives {expected.shape}.")
            difference = float(np.abs(restored - expected).max())
            largest = float("inf") if np.isnan(difference) else max(largest, difference)
            values += expected.size
            flipped += int((quantize(restored) != quantize(expected)).sum())
    (picture,) = random_cuts(task, [(3 * TILE, 3 * TILE)], rng)
    tiles = measure_overlap(restorer, picture, network.settings.scale)
    return Certificate(form, precision, runtime, tuple(sizes), largest, values, 1e6 * flipped / values, tiles, quality)


def own_rounding(network: JSNet, task: Task) -> float:
    """Largest difference of the network in float32 from itself in float64, on the cuts of ``certify``.

    An export cannot be closer to the network than this. Large values come from weights that were never trained.
    """
    rng = np.random.default_rng(_SEED)
    double, largest = copy.deepcopy(network).double().eval(), 0.0
    with torch.inference_mode():
        for cut in random_cuts(task, random_sizes(smallest_side(network), rng), rng):
            x = torch.from_numpy(cut.transpose(2, 0, 1).astype(np.float32))[None]
            largest = max(largest, float((network(x) - double(x.double())).abs().max()))
    return largest


def random_sizes(smallest: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Ten heights and widths, the first of them the smallest that the network takes; the sides are log-uniform."""
    bounds = np.log(smallest), np.log(LARGEST_TRIED)
    sides = np.rint(np.exp(rng.uniform(*bounds, size=(SIZES - 1, 2)))).astype(int)
    return [(smallest, smallest), *((int(height), int(width)) for height, width in sides)]


def certificate_path(out: Path) -> Path:
    """``net.certificate.json`` for ``net.onnx`` and for ``net.pt2``: it has a place for each of them."""
    return out.with_suffix(".certificate.json")


def store_certificate(out: Path, file: bytes, certificate: Certificate) -> Path:
    """Writes the certificate of a file beside it; those of other forms of the same name stay.

    Args:
        out: The exported file.
        file: Its bytes; their hash ties the certificate to them.
        certificate: What was measured.

    Returns:
        The certificate's path.
    """
    path = certificate_path(out)
    try:
        known = json.loads(path.read_bytes())["files"]
        entries = {name: entry for name, entry in known.items() if (out.parent / name).is_file()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        entries = {}
    entries[out.name] = {"sha256": hashlib.sha256(file).hexdigest(), **certificate.to_dict()}
    content = {"format": "jsnas-certificate/1", "files": dict(sorted(entries.items()))}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def _size(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
