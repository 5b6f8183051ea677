"""Patches: aligned, uniform, one stream for any number of workers."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jsnas.data.h5 import H5Images
from jsnas.data.images import write_png
from jsnas.data.pack import pack
from jsnas.data.patches import PatchBatches, patch_loader, split_images
from jsnas.errors import InputError
from jsnas.task import Task

X2 = Task("sr", scale=2)
# Python 3.12 warns of any fork beside threads, which torch has; the workers only read a mapped file.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, H5Images]:
    """By scale: images whose low-quality pixel (y, x) is (y, x, image), and so are the HQ pixels that belong to it."""
    opened = {}
    for scale in (2, 3, 4):
        root = tmp_path_factory.mktemp(f"x{scale}")
        (root / "HR").mkdir()
        (root / f"LR_bicubic/X{scale}").mkdir(parents=True)
        for index, (height, width) in enumerate([(12, 30), (25, 11), (11, 11)]):
            lq = np.stack([*np.indices((height, width)), np.full((height, width), index)], axis=2).astype(np.uint8)
            write_png(root / f"LR_bicubic/X{scale}/{index}x{scale}.png", lq)
            write_png(root / f"HR/{index}.png", lq.repeat(scale, axis=0).repeat(scale, axis=1))
        pack(root, root / "a.h5", Task("sr", scale=scale))
        opened[scale] = H5Images(root / "a.h5")
    return opened


@settings(max_examples=60)
@given(
    scale=st.sampled_from([2, 3, 4]),
    patch=st.integers(1, 11),
    seed=st.integers(0, 2**64 - 1),
    index=st.integers(0, 10**7),
    augment=st.booleans(),
)
def test_patches_are_aligned_and_lie_inside_one_image(
    coordinates: dict[int, H5Images], scale: int, patch: int, seed: int, index: int, augment: bool
) -> None:
    batches = PatchBatches(coordinates[scale], Task("sr", scale=scale), [0, 2], patch, 3, seed, augment)
    lq, hq = batches[index]
    assert lq.dtype == hq.dtype == torch.uint8
    assert lq.shape == (3, 3, patch, patch)
    assert hq.shape == (3, 3, patch * scale, patch * scale)
    torch.testing.assert_close(hq, lq.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3), rtol=0, atol=0)
    for y, x, image in lq.int():
        assert image.unique().tolist() in ([0], [2])
        for values in (y, x):  # a patch holds `patch` neighbouring rows and columns, each the same number of times
            assert values.max() - values.min() == patch - 1
            assert values.unique(return_counts=True)[1].tolist() == [patch] * patch
        if not augment and patch > 1:
            assert torch.all(y.diff(dim=0) == 1)
            assert torch.all(x.diff(dim=1) == 1)


def test_the_eight_orientations_images_and_positions_are_uniform(coordinates: dict[int, H5Images]) -> None:
    batches = PatchBatches(coordinates[2], X2, [0, 1, 2], 11, 400, seed=1)
    lq, _ = batches[0]
    corners = [tuple(values) for values in torch.stack([lq[:, 0, 0, 0], lq[:, 0, 0, -1], lq[:, 1, 0, 0]], 1).tolist()]
    images = lq[:, 2, 0, 0].tolist()
    only = [lq[i, :2] for i in range(400) if images[i] == 2]  # 11 x 11: nothing but the orientation is drawn
    base = torch.stack(torch.meshgrid(torch.arange(11), torch.arange(11), indexing="ij")).to(torch.uint8)
    turned = [torch.rot90(base, k, (1, 2)) for k in range(4)]
    group = turned + [torch.flip(patch, (2,)) for patch in turned]
    counts = [sum(torch.equal(patch, member) for patch in only) for member in group]
    assert sum(counts) == len(only)
    assert chi_square(counts) < 24.3  # 99.9 % with 7 degrees of freedom
    assert chi_square([images.count(index) for index in range(3)]) < 13.8  # 2 degrees
    assert len(set(corners)) > 8
    tops = [int(lq[i, 0].min()) for i in range(400) if images[i] == 1]  # rows 0 to 14 of image 1
    assert chi_square([tops.count(top) for top in range(15)]) < 36.1  # 14 degrees


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


@forks
@pytest.mark.parametrize("task", [X2, Task("denoise", sigma=25.0)], ids=lambda task: task.name)
def test_one_stream_for_any_number_of_workers(tmp_path: Path, task: Task) -> None:
    rng = np.random.default_rng(0)
    for index in range(3):
        write_png(tmp_path / f"{index}.png", rng.integers(0, 256, (40, 36, 3), dtype=np.uint8))
    pack(tmp_path, tmp_path / "a.h5", task)
    batches = PatchBatches(H5Images(tmp_path / "a.h5"), task, range(3), 16, 4, seed=9)
    streams = [list(patch_loader(batches, 5, 12, workers)) for workers in (0, 1, 2)]
    streams.append([pickle.loads(pickle.dumps(batches))[index] for index in range(5, 12)])
    streams.append(list(patch_loader(batches, 0, 12, 0))[5:])  # resuming at 5 is going on
    for stream in streams:
        assert len(stream) == 7
        for mine, first in zip(stream, streams[0], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, first, strict=True))
    assert not torch.equal(streams[0][0][1], streams[0][1][1])


def test_seeds_and_iterations_give_different_batches(coordinates: dict[int, H5Images]) -> None:
    made = [PatchBatches(coordinates[2], X2, [0, 1], 5, 4, seed)[k][0] for seed in range(4) for k in range(4)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(made, 2))


def test_noise_is_that_of_the_task_and_new_in_every_batch(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.full((64, 64, 1), 100, np.uint8))
    pack(tmp_path, tmp_path / "a.h5", Task("denoise", sigma=10.0))
    task = Task("denoise", sigma=50.0)
    batches = PatchBatches(H5Images.open_for(tmp_path / "a.h5", task), task, [0], 64, 8, seed=0)
    (lq, hq), (other, _) = batches[0], batches[1]
    assert lq.dtype == torch.float32
    assert hq.dtype == torch.uint8
    noise = lq - hq
    assert noise.std().item() == pytest.approx(50, rel=0.02)
    assert abs(noise.mean().item()) < 1
    assert lq.min() < 0
    assert not torch.equal(lq, other)
    assert not torch.equal(noise[0], noise[1])


def test_wrong_settings_are_named(coordinates: dict[int, H5Images], tmp_path: Path) -> None:
    images = coordinates[2]
    write_png(tmp_path / "a.png", np.zeros((64, 64, 1), np.uint8))
    pack(tmp_path, tmp_path / "a.h5", Task("denoise", sigma=10.0))
    gray = H5Images(tmp_path / "a.h5")
    for call, words in [
        (lambda: PatchBatches(images, X2, [0, 1], 12, 1, 0), "Image '1' has 11 x 25.*12 x 12"),
        (lambda: PatchBatches(images, X2, [], 4, 1, 0), "none"),
        (lambda: PatchBatches(images, X2, [0, 3], 4, 1, 0), "0 to 3"),
        (lambda: PatchBatches(images, X2, [-1], 4, 1, 0), "-1"),
        (lambda: PatchBatches(images, X2, [0], 0, 1, 0), "patch_size 0"),
        (lambda: PatchBatches(images, X2, [0], 4, 0, 0), "batch_size 0"),
        (lambda: PatchBatches(images, X2, [0], 4, 1, -1), "seed -1"),
        (lambda: PatchBatches(images, Task("sr", scale=3), [0], 4, 1, 0), "sr-x2.*sr-x3"),
        (lambda: PatchBatches(gray, Task("deblock", quality=10), [0], 4, 1, 0), "denoise-10.*deblock-10"),
        (lambda: patch_loader(PatchBatches(images, X2, [0], 4, 1, 0), 5, 4, 0), "5 to 4"),
        (lambda: patch_loader(PatchBatches(images, X2, [0], 4, 1, 0), 0, 4, -1), "-1 workers"),
    ]:
        with pytest.raises(InputError, match=words):
            call()


def test_the_papers_split_of_div2k() -> None:
    split = split_images(900, "auto", "auto", "auto")
    assert split.weights == tuple(range(800))
    assert split.architecture == tuple(range(800, 900))
    assert split.validation == tuple(range(800, 810))


@given(count=st.integers(3, 2000).filter(lambda count: count != 900))
def test_the_automatic_split_uses_every_image_once(count: int) -> None:
    split = split_images(count, "auto", "auto", "auto")
    assert split.weights + split.architecture + split.validation == tuple(range(count))
    assert len(split.validation) == len(split.architecture) == max(1, count // 10)
    assert split.weights


def test_given_ranges_count_from_one_with_both_ends() -> None:
    split = split_images(10, "1-6", " 7 - 8 ", "8-10")
    assert split == type(split)((0, 1, 2, 3, 4, 5), (6, 7), (7, 8, 9))
    assert split_images(900, "1-700", "auto", "auto").weights[-1] == 699


@pytest.mark.parametrize(
    ("count", "ranges", "words"),
    [
        (2, ("auto", "auto", "auto"), "at least 3"),
        (10, ("1-11", "auto", "auto"), "1-11"),
        (10, ("0-5", "auto", "auto"), "0-5"),
        (10, ("5-1", "auto", "auto"), "5-1"),
        (10, ("1-8", "8-9", "10-10"), "8-8 serve both weights and architecture"),
        (10, ("1-8", "9-9", "3-10"), "3-8 serve both weights and validation"),
        (10, ("1..8", "auto", "auto"), "such as 1-10"),
        (10, ("", "auto", "auto"), "such as 1-10"),
    ],
)
def test_wrong_ranges(count: int, ranges: tuple[str, str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_images(count, *ranges)
