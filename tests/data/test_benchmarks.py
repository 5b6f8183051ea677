"""The layouts that benchmark sets come in, and the hashes of their pixels."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jsnas.data.benchmarks import DataHash, LoadedPair, find_benchmark, load_pair
from jsnas.data.degrade import add_noise, downscale, jpeg
from jsnas.data.images import read_image, write_png
from jsnas.errors import InputError
from jsnas.task import Task

X2, X3, X4 = (Task("sr", scale=scale) for scale in (2, 3, 4))
RNG = np.random.default_rng(0)
NAMES = ("baby", "bird")
HQ = {name: RNG.integers(0, 256, (24, 36, 3), dtype=np.uint8) for name in NAMES}


def put(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, image)


def edsr(root: Path) -> None:
    for name, hq in HQ.items():
        put(root / f"HR/{name}.png", hq)
        for scale in (2, 4):
            put(root / f"LR_bicubic/X{scale}/{name}x{scale}.png", downscale(hq, scale))


def basicsr(root: Path) -> None:
    for name, hq in HQ.items():
        put(root / f"GTmod12/{name}.png", hq)
        for scale in (2, 4):
            put(root / f"LRbicx{scale}/{name}.png", downscale(hq, scale))


def selfexsr(root: Path) -> None:
    for number, hq in enumerate(HQ.values(), start=1):
        for scale in (2, 4):
            stem = root / f"image_SRF_{scale}/img_{number:03d}_SRF_{scale}"
            put(stem.with_name(stem.name + "_HR.png"), hq)
            for kind in ("LR", "bicubic", "SelfExSR"):
                put(stem.with_name(f"{stem.name}_{kind}.png"), downscale(hq, scale))


def plain(root: Path) -> None:
    for name, hq in HQ.items():
        put(root / f"{name}.png", hq)


@pytest.mark.parametrize(
    ("make", "layout"), [(edsr, "HR"), (basicsr, "GTmod12"), (selfexsr, "image_SRF"), (plain, "plain")]
)
def test_layouts(tmp_path: Path, make: Callable[[Path], None], layout: str) -> None:
    make(tmp_path / "sets/Set5")
    make(tmp_path / "sets/Set14")
    (tmp_path / "sets/notes").mkdir()
    both = find_benchmark(tmp_path / "sets", X2)
    assert [found.name for found in both] == ["Set14", "Set5"]
    for root in (tmp_path / "sets/Set5", *(tmp_path / "sets/Set5" / sub for sub in ("HR", "GTmod12", "image_SRF_2"))):
        if not root.is_dir():
            continue
        for task in (X2, Task("denoise", sigma=30.0), Task("deblock", quality=10)):
            (found,) = find_benchmark(root, task)
            assert (found.name, found.layout) == ("Set5", layout)
            from_files = task.name == "sr" and layout != "plain"
            assert found.lq_source == ("files" if from_files else "made")
            for pair, hq in zip(found.pairs, HQ.values(), strict=True):
                loaded = load_pair(pair, task)
                if task.name == "sr":
                    np.testing.assert_array_equal(loaded.hq, hq)
                    np.testing.assert_array_equal(loaded.lq, downscale(hq, 2))
                assert loaded.hq.shape == (24, 36, task.image_channels)


def test_scales_without_files_are_made_or_refused(tmp_path: Path) -> None:
    for make in (edsr, basicsr, selfexsr):
        make(tmp_path / make.__name__)
    for name in ("edsr", "basicsr"):
        (found,) = find_benchmark(tmp_path / name, X3)
        assert found.lq_source == "made"
    with pytest.raises(InputError, match="image_SRF_3"):
        find_benchmark(tmp_path / "selfexsr", X3)
    with pytest.raises(InputError, match="scale 2"):
        find_benchmark(tmp_path / "selfexsr/image_SRF_2", X4)


def test_low_quality_images_are_never_taken_for_originals(tmp_path: Path) -> None:
    for make in (edsr, basicsr, selfexsr):
        make(tmp_path / make.__name__)
    for folder in ("edsr/LR_bicubic", "edsr/LR_bicubic/X2", "basicsr/LRbicx4"):
        with pytest.raises(InputError, match="low-quality"):
            find_benchmark(tmp_path / folder, X2)
    plain(tmp_path / "mixed")
    put(tmp_path / "mixed/babyx2.png", downscale(HQ["baby"], 2))
    put(tmp_path / "mixed/bird_LR.png", downscale(HQ["bird"], 2))
    (found,) = find_benchmark(tmp_path / "mixed", X2)
    assert [pair.name for pair in found.pairs] == list(NAMES)
    put(tmp_path / "only/babyx2.png", downscale(HQ["baby"], 2))
    with pytest.raises(InputError, match="babyx2"):
        find_benchmark(tmp_path / "only", X2)
    # An LR folder among the sets of a root is no set.
    plain(tmp_path / "root/Set5")
    put(tmp_path / "root/Set5_LR/babyx2.png", downscale(HQ["baby"], 2))
    put(tmp_path / "root/X4/babyx4.png", downscale(HQ["baby"], 4))
    assert [found.name for found in find_benchmark(tmp_path / "root", X2)] == ["Set5"]


def test_missing_and_foreign_files_are_errors(tmp_path: Path) -> None:
    for make in (edsr, basicsr, selfexsr):
        make(tmp_path / make.__name__)
    (tmp_path / "edsr/LR_bicubic/X2/birdx2.png").unlink()
    (tmp_path / "basicsr/LRbicx2/bird.png").unlink()
    (tmp_path / "selfexsr/image_SRF_2/img_002_SRF_2_LR.png").unlink()
    for name in ("edsr", "basicsr", "selfexsr"):
        with pytest.raises(InputError, match=r"bird|img_002"):
            find_benchmark(tmp_path / name, X2)
    put(tmp_path / "basicsr/LRbicx4/bird.png", HQ["bird"])
    (found,) = find_benchmark(tmp_path / "basicsr", X4)
    with pytest.raises(InputError, match="do not belong together"):
        load_pair(found.pairs[1], X4)
    (tmp_path / "empty/inside").mkdir(parents=True)
    for root, words in ((tmp_path / "empty", "no benchmark set"), (tmp_path / "gone", "no folder")):
        with pytest.raises(InputError, match=words):
            find_benchmark(root, X2)


def test_pairs_are_made_by_the_preset(tmp_path: Path) -> None:
    odd = RNG.integers(0, 256, (25, 38, 3), dtype=np.uint8)
    gray = odd[..., :1]
    put(tmp_path / "colour/a.png", odd)
    put(tmp_path / "gray/a.png", gray)
    (colour,), (single,) = (find_benchmark(tmp_path / name, X3) for name in ("colour", "gray"))
    loaded = load_pair(colour.pairs[0], X3)
    np.testing.assert_array_equal(loaded.hq, odd[:24, :36])
    np.testing.assert_array_equal(loaded.lq, downscale(odd[:24, :36], 3))
    repeated = load_pair(single.pairs[0], X3)
    np.testing.assert_array_equal(repeated.hq, np.repeat(gray[:24, :36], 3, axis=2))
    noisy = load_pair(single.pairs[0], Task("denoise", sigma=50.0))
    np.testing.assert_array_equal(noisy.lq, add_noise(gray, 50.0, np.random.default_rng(0)))
    blocky = load_pair(single.pairs[0], Task("deblock", quality=10))
    np.testing.assert_array_equal(blocky.lq, jpeg(gray, 10))


def hashes(pairs: list[LoadedPair]) -> tuple[str, str]:
    data = DataHash()
    for pair in pairs:
        data.add(pair)
    return data.hq, data.pairs


def test_a_name_that_is_no_unicode_has_a_hash(tmp_path: Path) -> None:
    name = os.fsdecode(b"B\xe4r.png")
    put(tmp_path / name, HQ["baby"])
    (pair,) = find_benchmark(tmp_path, X2)[0].pairs
    found = DataHash()
    found.add(load_pair(pair, X2))
    assert len(found.pairs) == 64


def test_hashes_see_one_pixel_but_not_names_or_order() -> None:
    pairs = [LoadedPair(name, hq, downscale(hq, 2)) for name, hq in HQ.items()]
    hq, both = hashes(pairs)
    assert hashes(pairs[::-1]) == (hq, both)
    renamed = [LoadedPair("other", pairs[0].hq, pairs[0].lq), pairs[1]]
    assert hashes(renamed)[0] == hq
    assert hashes(renamed)[1] != both
    for part in ("hq", "lq"):
        changed = LoadedPair(pairs[0].name, pairs[0].hq.copy(), pairs[0].lq.copy())
        getattr(changed, part)[5, 7, 1] ^= 1
        new_hq, new_both = hashes([changed, pairs[1]])
        assert (new_hq != hq) == (part == "hq")
        assert new_both != both
    flat = LoadedPair("flat", pairs[0].hq.reshape(36, 24, 3), pairs[0].lq)
    assert hashes([flat, pairs[1]])[0] != hq


def test_real_sets_agree_in_every_layout(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "data/test/Set5", tmp_path / "Set5/HR")
    shutil.copytree(shared / "data/test_lr/Set5", tmp_path / "Set5/LR_bicubic")
    for task in (X2, X3, X4):
        (files,), (made,) = find_benchmark(tmp_path / "Set5", task), find_benchmark(shared / "data/test/Set5", task)
        assert (files.lq_source, made.lq_source) == ("files", "made")
        read = [load_pair(pair, task) for pair in files.pairs]
        assert hashes(read) == hashes([load_pair(pair, task) for pair in made.pairs])
    names = [found.name for found in find_benchmark(shared / "data/test", X2)]
    assert names == ["BSD100", "BSD68", "Classic5", "Set14", "Set5"]
    with pytest.raises(InputError):
        find_benchmark(shared / "data/test_lr", X2)
    assert read_image(files.pairs[0].hq, 3).shape == (512, 512, 3)
