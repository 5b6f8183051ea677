"""Restoring in strips gives the whole image's result, in less memory than its feature maps would take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_network import small
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.fast.inference.network import fast_network
from jsnas.genotype import Genotype
from jsnas.metrics import quantize
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS
from jsnas.restore import restore_array
from jsnas.strips import restore_pixels

CPU = torch.device("cpu")


@pytest.mark.parametrize("attention", ["esa", "ca", "cca"])
@pytest.mark.parametrize("rows", [None, 5])
def test_strips_show_no_seam(attention: str, rows: int | None) -> None:
    from skimage import data

    network = small("sr", attention)
    lq = data.astronaut()[200:291, 180:263]
    expected = quantize(restore_array(network, lq, CPU)).astype(int)
    restored = restore_pixels(fast_network(network), lq, CPU, rows)
    assert restored.dtype == np.uint8
    assert np.abs(restored.astype(int) - expected).max() <= 1


def test_floats_are_not_rounded_before() -> None:
    network = small("denoise", "cea")
    lq = np.random.default_rng(0).normal(128, 60, (33, 47, 1)).astype(np.float32)  # noise beyond 0 and 255
    expected = quantize(restore_array(network, lq, CPU)).astype(int)
    assert np.abs(restore_pixels(fast_network(network), lq, CPU).astype(int) - expected).max() <= 1


def test_shapes_are_refused() -> None:
    fast = fast_network(small("sr", "esa"))
    for wrong in (np.zeros((20, 20), np.uint8), np.zeros((0, 20, 3), np.uint8)):
        with pytest.raises(InputError, match="H x W x C"):
            restore_pixels(fast, wrong, CPU)
    with pytest.raises(InputError, match="smallest side"):
        restore_pixels(fast, np.zeros((14, 20, 3), np.uint8), CPU)


class ColumnMeans(nn.Module):
    """Somebody else's block, which is not the same along rows and columns."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(2, keepdim=True) / 2


def test_plug_ins_in_wide_images_are_never_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsnas.fast.inference.network.LARGE_IMAGE", 1)
    monkeypatch.setattr("jsnas.strips.LARGE_IMAGE", 1)
    monkeypatch.setitem(OPERATIONS, "ColumnMeans", ColumnMeans)  # as ``register_plugin`` does
    torch.manual_seed(0)
    genotype = Genotype("sr", (((0, 1), "ColumnMeans"),), (((0, 1), "esa"),), 2)
    network = JSNet(genotype, NetworkSettings(3, 2, 1, 16, 8)).eval()
    lq = np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8)
    expected = quantize(restore_array(network, lq, CPU)).astype(int)
    fast = fast_network(network)
    assert fast.columns is None
    assert np.abs(restore_pixels(fast, lq, CPU).astype(int) - expected).max() <= 1


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak memory from /proc")
def test_memory_does_not_grow_with_the_height() -> None:
    script = """
import sys, numpy as np, torch
torch.set_num_threads(1)
from jsnas.fast.inference.network import fast_network
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.genotype import Genotype
from jsnas.strips import restore_pixels
genotype = Genotype("sr", (((0, 1), "rdb_light"),), (((0, 1), "esa"),), 2)
fast = fast_network(JSNet(genotype, NetworkSettings(3, 2, 1, 64, 8)))
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) / 1024
restore_pixels(fast, np.zeros((64, 256, 3), np.uint8), torch.device("cpu"))
before = peak()
restore_pixels(fast, np.zeros((int(sys.argv[1]), 256, 3), np.uint8), torch.device("cpu"))
print(peak() - before)
"""
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", script, "4400"], capture_output=True, text=True, env=environment, check=True, cwd=root
    )
    # 4400 x 256 pixels: one map of 64 channels is 275 MiB, the fusion's map of 32 channels is 138 MiB.
    assert float(done.stdout) < 260


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("attention", ["esa", "cca", "sa"])
def test_the_way_of_large_images(attention: str, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    monkeypatch.setattr("jsnas.fast.inference.network.LARGE_IMAGE", 1)
    monkeypatch.setattr("jsnas.strips.LARGE_IMAGE", 1)
    network = small("sr", attention)
    lq = data.astronaut()[200:271, 180:283] if wide else data.astronaut()[100:203, 180:243]
    expected = quantize(restore_array(network, lq, CPU)).astype(int)
    assert np.abs(restore_pixels(fast_network(network), lq, CPU, 6).astype(int) - expected).max() <= 1
