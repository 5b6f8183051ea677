"""The pictures that a search and a training leave, in their folders, on their page and in TensorBoard."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import metrics_of

from jsnas.conventions import preset
from jsnas.data.h5 import H5Images
from jsnas.data.images import read_image
from jsnas.genotype import Genotype
from trainers.cli import main
from trainers.gallery import confidence_of, probability_picture


@pytest.fixture(scope="module")
def runs(tiny: Path) -> Path:
    config = ["--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5")]
    assert main(["search", *config, "--out", str(tiny / "search")]) == 0
    assert main(["train", *config, "--out", str(tiny / "train"), "--genotype", str(tiny / "search")]) == 0
    return tiny


def board(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()


def test_a_training_leaves_its_validation_images_with_scores(runs: Path) -> None:
    run, images = runs / "train", H5Images(runs / "data.h5")
    scores = json.loads((run / "restored" / "scores.json").read_text())
    (entry,) = scores["images"]  # one image is held out
    stem = entry["image"].removesuffix(".png")
    paths = [run / "restored" / f"{stem}-{kind}.png" for kind in ("restored", "truth", "input")]
    restored, truth, before = (read_image(path, 3) for path in paths)
    height, width = truth.shape[:2]
    top, left = ((whole - part) // 4 * 2 for whole, part in zip(images.hq_shape(4), (height, width), strict=False))
    np.testing.assert_array_equal(truth, images.hq(4)[top : top + height, left : left + width])
    convention = preset(images.task)
    assert entry["psnr_db"] == pytest.approx(convention.score(restored, truth, 2).psnr_db, abs=1e-6)
    assert entry["psnr_input_db"] == pytest.approx(convention.score(before, truth, 2).psnr_db, abs=1e-6)
    best = max(line.get("psnr_db", 0) for line in metrics_of(run))
    assert entry["psnr_db"] == pytest.approx(best, abs=1e-6)
    page = (run / "report.html").read_text()
    assert "Restored images" in page and f"ours</b> {entry['psnr_db']:.2f} dB" in page


def test_tensorboard_has_the_curves_and_the_pictures(runs: Path) -> None:
    searched = board(runs / "search").Tags()
    assert {"loss", "psnr_db", "learning_rate", "architecture_learning_rate"} <= set(searched["scalars"])
    assert any(tag.startswith("probability/operation_0_1/") for tag in searched["scalars"])
    assert {"module", "probabilities"} <= set(searched["images"])
    trained = board(runs / "train")
    (name,) = trained.Tags()["images"]
    scores = json.loads((runs / "train" / "restored" / "scores.json").read_text())
    last = trained.Images(name)[-1]
    assert last.step == scores["iteration"]
    side_by_side = np.asarray(Image.open(io.BytesIO(last.encoded_image_string)))
    stem = scores["images"][0]["image"].removesuffix(".png")
    parts = [read_image(runs / "train" / "restored" / f"{stem}-{k}.png", 3) for k in ("input", "restored", "truth")]
    np.testing.assert_array_equal(side_by_side, np.concatenate(parts, axis=1))


def test_the_search_writes_its_learning_rates(runs: Path) -> None:
    lines = metrics_of(runs / "search")
    assert {(line["learning_rate"], line["architecture_learning_rate"]) for line in lines} == {(1e-4, 1e-3)}
    page = (runs / "search" / "report.html").read_text()
    assert "Learning rate of the search" in page and "record no learning rate" not in page


def test_a_surer_cell_is_darker() -> None:
    picture = probability_picture({"operation_0_1": {"skip": 0.1, "rdb_sep": 0.9}, "attention_0_1": {"esa": 1.0}})
    rows = picture[[2, 22]][:, [200, 330]].astype(int).sum(axis=-1)  # inside the cells, above their texts
    assert rows[0, 1] < rows[0, 0] and rows[1, 0] < rows[0, 1] and rows[1, 1] == 3 * 255


def test_confidence_is_that_of_the_derived_candidates() -> None:
    genotype = Genotype.from_edges("sr", {"0>1": "skip"}, {"0>1": "esa", "1>2": "sa"})
    probabilities = {"operation_0_1": {"skip": 0.7, "none": 0.3}, "attention_0_1": {"esa": 0.6, "sa": 0.4}}
    assert confidence_of(genotype, probabilities) == {"operations": {"0>1": 0.7}, "attentions": {"0>1": 0.6}}
