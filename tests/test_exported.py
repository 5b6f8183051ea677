"""ONNX and torch.export files compute what their network computes, at every size, or are not written."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task
from jsnas.attentions import EnhancedSpatialAttention
from jsnas.certificate import Certificate, certificate_path, random_sizes
from jsnas.export import export
from jsnas.exported import export_onnx, export_pt2
from jsnas.portable import export_program, portable, smallest_side
from jsnas.tiles.overlap import TileOverlap, measure_overlap

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the extra onnx",
)
quiet = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch's own


def small(task: Task, operation: str, *attentions: str) -> JSNet:
    torch.manual_seed(0)
    edges = ((0, 1), (0, 2), (1, 2))
    genotype = Genotype(
        task.name,
        ((edges[0], operation),),
        tuple(zip(edges, attentions, strict=True)),
        task.scale if task.name == "sr" else None,
    )
    return JSNet(genotype, NetworkSettings.for_task(task, 1, 16, 8)).eval()


@pytest.fixture(scope="module")
def network() -> JSNet:
    return small(Task("sr", 3), "rdb_light", "esa", "cca", "cea")


@needs_onnx
@quiet
def test_onnx_certifies_itself(tmp_path: Path, network: JSNet) -> None:
    import onnxruntime

    certificate = export_onnx(network, Task("sr", 3), tmp_path / "net.onnx")
    assert certificate.largest_difference <= 0.01 and certificate.flipped_ppm <= 100
    assert certificate.smallest == (15, 15) and len(certificate.sizes) == 10
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 15, 64), (3, 3, 41, 16)):
        x = 255 * torch.rand(shape)
        with torch.no_grad():
            np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], network(x).numpy(), rtol=0, atol=0.01)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["task"]) == {"name": "sr", "scale": 3}
    assert Genotype.from_dict(json.loads(metadata["genotype"])) == network.genotype


@quiet
def test_both_forms_share_a_certificate(tmp_path: Path) -> None:
    network = small(Task("deblock", quality=10), "rdb_dil", "sa", "ca", "pa")
    certificate = export_pt2(network, Task("deblock", quality=10), tmp_path / "net.pt2")
    assert certificate.largest_difference <= 0.01
    assert certificate.smallest == (2, 2)
    path = certificate_path(tmp_path / "net.onnx")
    assert path == tmp_path / "net.certificate.json"
    stored = json.loads(path.read_text())
    assert list(stored["files"]) == ["net.pt2"]
    assert stored["files"]["net.pt2"]["limits"] == {"largest_difference": 0.01, "flipped_ppm": 100}
    program = torch.export.load(tmp_path / "net.pt2").module()
    x = 255 * torch.rand(2, 1, 9, 30)
    with torch.no_grad():
        torch.testing.assert_close(program(x), network(x), rtol=0, atol=1e-3)


@quiet
def test_a_file_that_differs_is_not_written(tmp_path: Path, network: JSNet, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pt2").write_bytes(b"an older file")

    def wrong(*arguments: object) -> nn.Module:
        model = portable(network)
        with torch.no_grad():
            model.network.tail.bias[0] += 0.02
        return model

    monkeypatch.setattr("jsnas.exported.portable", wrong)
    with pytest.raises(InputError, match=r"not written.*0\.02.*limit 0\.01"):
        export_pt2(network, Task("sr", 3), tmp_path / "net.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    assert (tmp_path / "net.pt2").read_bytes() == b"an older file"


@quiet
def test_the_pooling_of_esa_is_exact_at_every_size() -> None:
    """One program for all sizes: every remainder of the raster of 6 pixels, and the pooled maps of one row."""
    torch.manual_seed(0)
    network = small(Task("denoise", sigma=30), "skip", "esa", "skip", "skip")
    attention = next(m for m in network.modules() if isinstance(m, EnhancedSpatialAttention))
    with torch.no_grad():
        attention.expand.weight *= 4  # a gate that is far from constant
    program = export_program(portable(network), smallest_side(network)).module()
    with torch.no_grad():
        for side in range(15, 34):
            x = 255 * torch.rand(1, 1, side, 48 - side)
            torch.testing.assert_close(program(x), network(x), rtol=0, atol=1e-3)


def test_a_portable_copy_leaves_the_network_alone(network: JSNet) -> None:
    before = list(network.state_dict())
    x = 255 * torch.rand(1, 3, 17, 20)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(portable(network)(x), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(portable(network)(x), expected, rtol=0, atol=1e-4)  # and a second time
        assert torch.equal(network(x), expected)
    assert list(network.state_dict()) == before


def test_limits() -> None:
    tiles = TileOverlap(64, {16: 0}, 16)

    def faults(difference: float, ppm: float, precision: str = "fp32") -> list[str]:
        return Certificate("onnx", precision, "r", ((15, 15),), difference, 1000, ppm, tiles).faults()

    assert faults(0.01, 100) == []
    assert "0.011" in faults(0.011, 0)[0]
    assert "101 ppm" in faults(0, 101)[0]
    assert faults(float("inf"), 0)
    assert "unknown" in faults(0, 0, "int8")[0]


def test_ten_sizes_begin_with_the_smallest() -> None:
    sizes = random_sizes(15, np.random.default_rng(3))
    assert len(sizes) == 10 and sizes[0] == (15, 15)
    assert all(15 <= side <= 200 for size in sizes for side in size)
    assert len({side % 6 for size in sizes for side in size}) >= 4


def test_the_overlap_of_a_convolution_is_its_radius() -> None:
    torch.manual_seed(0)
    blur = nn.Conv2d(1, 1, 33, padding=16, bias=False)  # radius 16
    image = np.random.default_rng(0).integers(0, 256, (192, 192, 1), dtype=np.uint8)
    measured = measure_overlap(blur, image, 1, overlaps=(4, 16, 32))
    assert measured.safe == 16 and measured.levels[4] > 1
    ramp = np.tile(np.arange(192, dtype=np.uint8), (192, 1))[..., None]
    looks_everywhere = measure_overlap(lambda x: x - x.mean() + 100, ramp, 1, overlaps=(4, 32))
    assert looks_everywhere.safe is None and "looks at the whole image" in str(looks_everywhere)


def test_a_missing_extra_is_named(tmp_path: Path, network: JSNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"jsnas\[onnx\]"):
        export(network, Task("sr", 3), tmp_path / "net.onnx")


def test_options_that_do_not_go_together(tmp_path: Path, network: JSNet) -> None:
    task = Task("sr", 3)
    with pytest.raises(InputError, match=r"end it in \.pth"):
        export(network, task, tmp_path / "net.onnx", layout="basicsr")
    with pytest.raises(InputError, match="--layout basicsr"):
        export(network, task, tmp_path / "net.pth")
    with pytest.raises(InputError, match=r"layout 'basicsrr'.*'basicsr'"):
        export(network, task, tmp_path / "net.pth", layout="basicsrr")
    with pytest.raises(InputError, match="for ONNX"):
        export(network, task, tmp_path / "net.pt2", precision="fp16")
    with pytest.raises(InputError, match="precision 'int4'"):
        export(network, task, tmp_path / "net.onnx", precision="int4")


@needs_onnx
@quiet
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_fewer_bits_show_their_loss(tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsnas.quality._SIDE", 48)
    network = small(Task("denoise", sigma=30), "rdb_light", "cea", "skip", "pa")
    with torch.no_grad():  # near the identity, so that there is a PSNR to lose
        network.tail.weight *= 0.01
    certificate = export_onnx(network, Task("denoise", sigma=30), tmp_path / "net.onnx", precision)
    assert certificate.quality is not None
    stored = json.loads((tmp_path / "net.certificate.json").read_text())["files"]["net.onnx"]
    assert stored["quality"]["loss_db"] == pytest.approx(certificate.quality.loss_db)
    assert abs(certificate.quality.loss_db) < 0.5
    assert certificate.largest_difference > 0
    assert f"{precision}: " in str(certificate)
