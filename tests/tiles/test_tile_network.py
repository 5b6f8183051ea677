"""Tiles that are told the statistics and the raster of the whole image give the whole image's result."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_network import small

from jsnas.errors import InputError
from jsnas.metrics import quantize
from jsnas.network import JSNet
from jsnas.restore import restore_array
from jsnas.restorer import TileRestorer
from jsnas.tiles.layout import Tiling, batches, spans, tiles_of
from jsnas.tiles.network import reach, tile_network

CPU = torch.device("cpu")


def photograph(height: int, width: int) -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[100 : 100 + height, 150 : 150 + width])


@pytest.mark.parametrize("attention", ["esa", "ca", "cca", "sa", "cea"])
def test_with_the_overlap_of_the_reach_tiles_are_exact(attention: str) -> None:
    network = small("sr", attention)
    lq = photograph(127, 151)
    expected = restore_array(network, lq, CPU)
    restored = TileRestorer(network, Tiling(48, reach(network), 3), CPU)(lq, 65535)
    assert np.abs(restored / 257 - np.clip(expected, 0, 255)).max() <= 0.01


def test_threads_take_turns() -> None:
    restorer = TileRestorer(small("sr", "cca"), Tiling(32, 8, 2), CPU)
    images = [photograph(60, 70 + k) for k in range(4)]
    expected = [restorer(lq) for lq in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for found, wanted in zip(pool.map(restorer, images), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_statistics_of_the_image_are_what_makes_them_exact() -> None:
    network = small("sr", "cca")
    tiles = tile_network(network)
    assert tiles.passes == 2 * 2 + 2 + 1  # two on the longest path of each of two modules, two in the fusion
    tiles.passes = 1
    x = torch.from_numpy(photograph(48, 48).transpose(2, 0, 1)[None].astype(np.float32))
    place = torch.tensor([[0.0, 0, 0, 48, 0, 48]])
    y, _ = tiles(x, place, torch.tensor([48.0, 48.0]), torch.zeros(tiles.statistics))
    with torch.no_grad():
        assert (y - network(x)).abs().max() > 1


def test_reach_by_hand() -> None:
    # head 1; two modules of two rdb_shallow (2 each) and two sa (2 each); fusion 2; enlarging and tail 2
    assert reach(small("sr", "sa")) == 1 + 2 * (4 + 4) + 2 + 2


def test_reach_is_no_larger_than_what_changes() -> None:
    """A pixel beyond the reach changes nothing, statistics apart; by how far it changes something, too."""
    network = small("denoise", "sa").double()
    far = reach(network)
    tiles = tile_network(network).double()
    x = torch.zeros(1, 1, 4 * far, 8, dtype=torch.double)
    place = torch.tensor([[0.0, 0, 0, 4 * far, 0, 8]], dtype=torch.double)
    statistics = torch.ones(tiles.statistics, dtype=torch.double)
    size = torch.tensor([4.0 * far, 8], dtype=torch.double)
    with torch.no_grad():
        before, _ = tiles(x, place, size, statistics)
        x[:, :, 0] = 255
        after, _ = tiles(x, place, size, statistics)
    changed = torch.nonzero((before != after).any(3)[0, 0]).max().item()
    assert far - 4 <= changed <= far


@settings(max_examples=100)
@given(side=st.integers(15, 700), tile=st.integers(6, 300), overlap=st.integers(0, 100))
def test_insides_make_the_side(side: int, tile: int, overlap: int) -> None:
    cut = spans(side, Tiling(tile, overlap), 15)
    assert [span.first for span in cut] + [side] == [0] + [span.last for span in cut]
    for span in cut:
        assert span.start % 6 == 0 and 0 <= span.start <= span.first < span.last <= span.stop <= side
        assert span.first - span.start >= min(overlap, span.first)
        assert span.stop - span.last >= min(overlap, side - span.last)
        assert span.stop - span.start >= 15 or tile + overlap < 15


def test_batches_are_of_one_shape() -> None:
    tiles = tiles_of(100, 130, Tiling(36, 12), 15)
    groups = list(batches(tiles, 3))
    assert sorted(map(str, tiles)) == sorted(str(tile) for group in groups for tile in group)
    assert all(len(group) <= 3 and len({tile.shape for tile in group}) == 1 for group in groups)
    assert sum(tile.pixels for tile in tiles) == 100 * 130


def test_settings_and_images_are_refused() -> None:
    for wrong in ({"tile": 5}, {"overlap": -1}, {"batch": 0}):
        with pytest.raises(InputError, match="give at least"):
            Tiling(**wrong)
    restorer = TileRestorer(small("sr", "esa"), Tiling(), CPU)
    with pytest.raises(InputError, match="smallest side"):
        restorer(np.zeros((14, 20, 3), np.uint8))
    with pytest.raises(InputError, match="H x W x 3"):
        restorer(np.zeros((20, 20, 1), np.uint8))


def test_a_strangers_block_is_refused() -> None:
    network = small("sr", "esa")
    network.fusion = torch.nn.Conv2d(16, 8, 1)
    with pytest.raises(InputError, match="cannot go in tiles"):
        tile_network(network)


def test_the_released_network_in_tiles(shared: object) -> None:
    from pathlib import Path

    from jsnas.official import import_official

    network, _ = import_official(Path(str(shared)) / "weights/official/jsnet_x2.pt")
    lq = photograph(150, 60)
    expected = quantize(restore_array(network, lq, CPU)).astype(int)
    restored = TileRestorer(network, Tiling(48), CPU)(lq).astype(int)
    assert np.abs(restored - expected).max() <= 1


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the extra onnx",
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnx_runtime_computes_tiles() -> None:
    network: JSNet = small("sr", "esa")
    lq = photograph(71, 103)
    expected = quantize(restore_array(network, lq, CPU)).astype(int)
    restored = TileRestorer(network, Tiling(30, 120, 2), None)(lq).astype(int)
    assert np.abs(restored - expected).max() <= 1
