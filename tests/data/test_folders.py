"""Folder layouts: DIV2K, HR with LR_bicubic, plain."""

from __future__ import annotations

from pathlib import Path

import pytest

from jsnas.data.folders import find_pairs, unique_names
from jsnas.errors import InputError
from jsnas.task import Task

X2 = Task("sr", scale=2)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def div2k(tmp_path: Path) -> Path:
    for kind, numbers in (("train", (1, 2, 800)), ("valid", (801, 900))):
        touch(*(tmp_path / f"DIV2K_{kind}_HR/{n:04d}.png" for n in numbers))
        touch(*(tmp_path / f"DIV2K_{kind}_LR_bicubic/X2/{n:04d}x2.png" for n in numbers))
    return tmp_path


def test_div2k_tree(div2k: Path) -> None:
    pairs = find_pairs(div2k, X2)
    assert [pair.name for pair in pairs] == ["0001", "0002", "0800", "0801", "0900"]
    assert [str(pair.lq.relative_to(div2k)) for pair in pairs if pair.lq][2:4] == [
        "DIV2K_train_LR_bicubic/X2/0800x2.png",
        "DIV2K_valid_LR_bicubic/X2/0801x2.png",
    ]
    assert all(pair.lq is not None for pair in pairs)


def test_other_scales_and_tasks_make_their_own_lq(div2k: Path) -> None:
    for task in (Task("sr", scale=3), Task("denoise", sigma=30.0), Task("deblock", quality=10)):
        assert [pair.lq for pair in find_pairs(div2k, task)] == [None] * 5


def test_root_may_be_the_hr_folder(div2k: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = find_pairs(div2k / "DIV2K_valid_HR", X2)
    assert [pair.name for pair in pairs] == ["0801", "0900"]
    assert pairs[0].lq == div2k / "DIV2K_valid_LR_bicubic/X2/0801x2.png"
    monkeypatch.chdir(div2k / "DIV2K_valid_HR")
    assert [pair.lq for pair in find_pairs(Path(), X2)] == [pair.lq for pair in pairs]


def test_hr_with_lr_bicubic(tmp_path: Path) -> None:
    touch(tmp_path / "HR/baby.png", tmp_path / "HR/bird.png")
    assert [pair.lq for pair in find_pairs(tmp_path, X2)] == [None, None]
    touch(tmp_path / "LR_bicubic/X2/babyx2.png", tmp_path / "LR_bicubic/X2/birdx2.bmp")
    for root in (tmp_path, tmp_path / "HR"):
        pairs = find_pairs(root, X2)
        assert [pair.hq.name for pair in pairs] == ["baby.png", "bird.png"]
        assert [pair.lq and pair.lq.name for pair in pairs] == ["babyx2.png", "birdx2.bmp"]


def test_a_missing_lq_file_is_not_made_unseen(div2k: Path) -> None:
    (div2k / "DIV2K_train_LR_bicubic/X2/0002x2.png").unlink()
    with pytest.raises(InputError, match=r"0002x2\.png"):
        find_pairs(div2k, X2)


def test_plain_folder_and_equal_stems(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "b.png")
    assert [pair.name for pair in find_pairs(tmp_path, X2)] == ["a.jpg", "a.png", "b"]
    with pytest.raises(InputError, match=r"a\.png"):
        unique_names([tmp_path / "a.png", tmp_path / "other/a.png"])


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "HR").mkdir()
    for root, words in ((tmp_path / "none", "no folder"), (tmp_path, "no image")):
        with pytest.raises(InputError, match=words):
            find_pairs(root, X2)
