"""Evaluation against the figures measured with the authors' own code, and its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jsnas.conventions import Convention
from jsnas.data.benchmarks import find_benchmark
from jsnas.data.degrade import downscale
from jsnas.data.images import read_image, write_png
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.official import import_official
from jsnas.task import Task
from trainers.evaluate import evaluate, score_set

X4 = Task("sr", scale=4)
SMALL = Genotype.from_names("denoise", ["skip"], ["skip"])


def constant_network() -> JSNet:
    """A network of zero weights: its output is the mean that it adds, 0.4368 * 255 everywhere."""
    network = JSNet(SMALL, NetworkSettings(1, 1, 1, channels=4, inner_channels=2, fusion_kernels=None))
    for parameter in network.parameters():
        parameter.data.zero_()
    return network


def test_released_x4_weights_on_set5(shared: Path) -> None:
    network, task = import_official(shared / "weights/official/jsnet_x4.pt")
    calls: list[tuple[int, int]] = []
    report = evaluate(
        network, shared / "data/test/Set5", task, progress=lambda done, total: calls.append((done, total))
    )
    (result,) = report.sets
    assert result.score is not None
    # The authors' weights, network and evaluation protocol give 32.1776 / 0.8945.
    assert result.score.psnr_db == pytest.approx(32.1776, abs=1e-3)
    assert result.score.ssim == pytest.approx(0.8945, abs=1e-4)
    assert result.input_score.psnr_db == pytest.approx(28.42, abs=0.015)  # published; 8-bit RGB gives a little more
    assert calls == [(done, 5) for done in range(1, 6)]

    content = json.loads(report.to_json())
    (entry,) = content["results"]
    assert {key: entry[key] for key in ("dataset", "task", "scale", "images", "convention", "lq_as_preset")} == {
        "dataset": "Set5",
        "task": "sr",
        "scale": 4,
        "images": 5,
        "convention": "sr",
        "lq_as_preset": True,
    }
    assert entry["psnr_db"] == pytest.approx(np.mean([image["psnr_db"] for image in entry["per_image"]]))
    assert entry["ssim"] == pytest.approx(np.mean([image["ssim"] for image in entry["per_image"]]))
    assert entry["bicubic"]["psnr_db"] == result.input_score.psnr_db
    assert len(entry["sha256"]) == len(entry["hq_sha256"]) == 64
    table = report.table()
    assert "32.178" in table and "baby" in table and "0.8945" in table
    assert "baby" not in report.table(per_image=False)


def test_self_ensemble_is_better(shared: Path, tmp_path: Path) -> None:
    network, task = import_official(shared / "weights/official/jsnet_x4.pt")
    shutil.copy(shared / "data/test/Set5/butterfly.png", tmp_path / "butterfly.png")
    once, eight = (evaluate(network, tmp_path, task, self_ensemble=flag) for flag in (False, True))
    gain = eight.sets[0].images[0].score.psnr_db - once.sets[0].images[0].score.psnr_db  # type: ignore[union-attr]
    assert 0.01 < gain < 0.3
    assert eight.to_dict()["self_ensemble"] is True


@pytest.mark.parametrize("task", [Task("denoise", sigma=30.0), Task("deblock", quality=10)])
def test_gray_tasks_and_their_inputs(tmp_path: Path, task: Task) -> None:
    image = np.tile(np.linspace(60, 190, 64).astype(np.uint8), (48, 1))[..., None]
    write_png(tmp_path / "ramp.png", image)
    (entry,) = evaluate(constant_network(), tmp_path, task).to_dict()["results"]
    level = {"sigma": 30.0} if task.name == "denoise" else {"quality": 10}
    assert {key: entry.get(key) for key in ("sigma", "quality", "scale")} == {
        "sigma": None,
        "quality": None,
        "scale": None,
    } | level
    assert entry["psnr_db"] == pytest.approx(10 * np.log10(255**2 / np.mean((image.astype(float) - 111) ** 2)))
    if task.name == "denoise":
        assert entry["input"]["psnr_db"] == pytest.approx(20 * np.log10(255 / 30), abs=0.3)


def test_an_infinite_figure_is_null_in_json(tmp_path: Path) -> None:
    write_png(tmp_path / "flat.png", np.full((32, 32, 3), 77, dtype=np.uint8))
    (entry,) = evaluate(constant_network(), tmp_path, Task("deblock", quality=90)).to_dict()["results"]
    assert entry["input"]["psnr_db"] is None  # a flat luma survives JPEG: infinite, which JSON has no number for
    assert entry["input"]["ssim"] == pytest.approx(1)


def test_foreign_low_quality_files_are_reported(tmp_path: Path) -> None:
    hq = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    for folder in ("HR", "LR_bicubic/X2"):
        (tmp_path / "Set5" / folder).mkdir(parents=True)
    write_png(tmp_path / "Set5/HR/a.png", hq)
    for wrong in (0, 1):
        lq = downscale(hq, 2)
        lq[0, 0, 0] ^= wrong
        write_png(tmp_path / "Set5/LR_bicubic/X2/ax2.png", lq)
        (found,) = find_benchmark(tmp_path, Task("sr", scale=2))
        result = score_set(found, Task("sr", scale=2), Convention("rgb", "rgb"), None)
        assert result.lq_as_preset == (wrong == 0)
        assert result.score is None
        assert result.to_dict()["psnr_db"] is None
        assert result.to_dict()["lq_source"] == "files"


def test_input_errors(tmp_path: Path) -> None:
    network = constant_network()
    with pytest.raises(InputError, match="sr-x4"):
        evaluate(network, tmp_path, X4)
    with pytest.raises(InputError, match="holds no benchmark set"):
        evaluate(network, tmp_path, Task("denoise", sigma=30.0))
    write_png(tmp_path / "tiny.png", np.zeros((8, 8, 1), dtype=np.uint8))
    with pytest.raises(InputError, match=r"tiny\.png"):
        evaluate(network, tmp_path, Task("denoise", sigma=30.0))
    assert read_image(tmp_path / "tiny.png", 1).shape == (8, 8, 1)
