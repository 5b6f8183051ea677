"""Packing and reading back: round trips, atomicity, and every way the input or the file can be wrong."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jsnas.data.degrade import crop_to_multiple, downscale, jpeg
from jsnas.data.h5 import H5Images
from jsnas.data.images import read_image, read_luma, write_png
from jsnas.data.pack import pack
from jsnas.errors import InputError
from jsnas.task import Task

X2, X3 = Task("sr", scale=2), Task("sr", scale=3)
SIZES = [(17, 20), (31, 16), (8, 9)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    root.mkdir()
    for index, (height, width) in enumerate(SIZES):
        write_png(root / f"image{index + 8}.png", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return root


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    pack(folder, tmp_path / "x2.h5", X2)
    return tmp_path / "x2.h5"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sr_round_trip(folder: Path, tmp_path: Path, scale: int) -> None:
    task, out = Task("sr", scale=scale), tmp_path / "a.h5"
    seen: list[tuple[int, int]] = []
    summary = pack(folder, out, task, lambda done, count: seen.append((done, count)))
    images = H5Images(out)
    assert images.task == task
    assert images.names == ["image8", "image9", "image10"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for index, name in enumerate(images.names):
        hq = crop_to_multiple(read_image(folder / f"{name}.png", 3), scale)
        np.testing.assert_array_equal(images.hq(index), hq)
        np.testing.assert_array_equal(images.lq(index), downscale(hq, scale))
        assert images.hq_shape(index) == hq.shape
        assert not images.hq(index).flags.writeable
    images.verify()
    assert summary.images == len(images) == 3
    assert summary.pixels == sum(height // scale * scale * (width // scale * scale) for height, width in SIZES)
    assert summary.bytes == out.stat().st_size


def test_deblock_and_denoise_round_trip(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "jpeg.h5", Task("deblock", quality=10))
    pack(folder, tmp_path / "noise.h5", Task("denoise", sigma=50.0))
    blocks, noise = H5Images(tmp_path / "jpeg.h5"), H5Images(tmp_path / "noise.h5")
    for index, name in enumerate(blocks.names):
        luma = read_luma(folder / f"{name}.png")
        np.testing.assert_array_equal(blocks.hq(index), luma)
        np.testing.assert_array_equal(blocks.lq(index), jpeg(luma, 10))
        np.testing.assert_array_equal(noise.hq(index), read_image(folder / f"{name}.png", 1))
        assert noise.lq(index) is None
    blocks.verify()
    noise.verify()


def test_lq_files_are_taken_as_they_are(folder: Path, tmp_path: Path) -> None:
    folder = folder.rename(tmp_path / "HR")
    lq_folder = tmp_path / "LR_bicubic/X2"
    lq_folder.mkdir(parents=True)
    for index, (height, width) in enumerate(SIZES):
        write_png(lq_folder / f"image{index + 8}x2.png", np.full((height // 2, width // 2, 3), index, np.uint8))
    pack(tmp_path, tmp_path / "a.h5", X2)
    images = H5Images(tmp_path / "a.h5")
    for index in range(3):
        assert np.all(images.lq(index) == index)
    write_png(lq_folder / "image9x2.png", np.zeros((16, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"image9x2\.png' has 8 x 16 pixels.*16 x 31, is 8 x 15"):
        pack(tmp_path, tmp_path / "a.h5", X2)


def test_single_files_gray_and_unicode(folder: Path, tmp_path: Path) -> None:
    gray = np.random.default_rng(1).integers(0, 256, (6, 8, 1), dtype=np.uint8)
    write_png(tmp_path / "灰色.png", gray)
    pack([tmp_path / "灰色.png", folder / "image9.png"], tmp_path / "b.h5", X2)
    images = H5Images(tmp_path / "b.h5")
    assert images.names == ["灰色", "image9"]
    np.testing.assert_array_equal(images.hq(0), np.repeat(gray, 3, axis=2))
    pack(folder / "image9.png", tmp_path / "c.h5", X2)
    assert H5Images(tmp_path / "c.h5").names == ["image9"]


def test_more_images_than_are_prepared_at_once_keep_their_order(tmp_path: Path) -> None:
    for index in range(30):
        write_png(tmp_path / f"{index}.png", np.full((4, 4 + 4 * (index % 5), 3), index, np.uint8))
    pack(tmp_path, tmp_path / "a.h5", X2)
    images = H5Images(tmp_path / "a.h5")
    assert [int(images.hq(index)[0, 0, 0]) for index in range(30)] == list(range(30))
    assert images.names == [str(index) for index in range(30)]


def test_any_h5_tool_reads_the_file(packed: Path) -> None:
    images = H5Images(packed)
    with h5py.File(packed) as file:
        assert file.attrs["format"] == b"jsnas-h5/1"
        for index in range(3):
            dataset = file[f"hq/{index:06d}"]
            assert dataset.chunks is None
            np.testing.assert_array_equal(dataset[()], images.hq(index))
            np.testing.assert_array_equal(file[f"lq/{index:06d}"][()], images.lq(index))


def test_pickling_carries_no_pixels(packed: Path) -> None:
    images = H5Images(packed)
    before = images.hq(1).copy()
    text = pickle.dumps(images)
    assert len(text) < 4000
    np.testing.assert_array_equal(pickle.loads(text).hq(1), before)


KILLED = """
import os, signal, sys
from pathlib import Path
import jsnas.data.atomic as atomic
from jsnas.data.pack import pack
from jsnas.task import Task
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
folder, out, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if moment == "before the rename":
    Path.replace = die
pack(folder, out, Task("sr", scale=2), lambda done, count: die() if str(done) == moment else None)
"""


@pytest.mark.parametrize("moment", ["1", "3", "before the rename"])
def test_killed_at_any_moment_leaves_nothing_under_the_name(folder: Path, tmp_path: Path, moment: str) -> None:
    out = tmp_path / "out" / "a.h5"
    out.parent.mkdir()
    command = [sys.executable, "-c", KILLED, str(folder), str(out), moment]
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=root, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(list(out.parent.iterdir())) == 1  # it did get as far as a temporary file
    pack(folder, out, X2)
    H5Images(out).verify()


def test_an_error_keeps_the_old_file_and_removes_the_new_one(folder: Path, packed: Path, tmp_path: Path) -> None:
    before = packed.read_bytes()
    (folder / "image11.png").write_bytes((folder / "image8.png").read_bytes()[:200])
    with pytest.raises(InputError, match=r"image11\.png"):
        pack(folder, packed, X2)

    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack([folder / "image8.png"], packed, X2, stop)
    assert packed.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "x2.h5"]


def test_wrong_input_is_named(folder: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    for images, out, words in [
        (tmp_path / "none", "a.h5", "no folder"),
        ([], "a.h5", "No image"),
        ([tmp_path / "none.png"], "a.h5", r"none\.png"),
        (tmp_path / "dot.png", "a.h5", r"dot\.png' has 1 x 1 pixels"),
        (folder, "none/a.h5", "create it first"),
        (folder, "images", "is a folder"),
        ([folder / "image8.png"] * 2, "a.h5", "2 images are named"),
    ]:
        with pytest.raises(InputError, match=words):
            pack(images, tmp_path / out, X2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dot.png", "images"]


def test_open_for_checks_task_scale_and_quality(folder: Path, packed: Path, tmp_path: Path) -> None:
    assert len(H5Images.open_for(packed, X2)) == 3
    for task in (X3, Task("denoise", sigma=30.0), Task("deblock", quality=10)):
        with pytest.raises(InputError, match=f"sr-x2, but the task is {task.label}"):
            H5Images.open_for(packed, task)
    pack(folder, tmp_path / "q.h5", Task("deblock", quality=10))
    with pytest.raises(InputError, match="deblock-20"):
        H5Images.open_for(tmp_path / "q.h5", Task("deblock", quality=20))
    pack(folder, tmp_path / "n.h5", Task("denoise", sigma=30.0))
    H5Images.open_for(tmp_path / "n.h5", Task("denoise", sigma=70.0))


def test_other_files_are_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not an H5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2]
    for name, words in (("text.h5", "not a whole H5"), ("other.h5", "another kind"), ("none.h5", "no file")):
        with pytest.raises(InputError, match=words):
            H5Images(tmp_path / name)
    with h5py.File(packed, "a") as file:
        file.attrs["task"] = np.bytes_('{"name": "sharpen"}')
    with pytest.raises(InputError, match="sharpen"):
        H5Images(packed)


def test_a_replaced_file_is_noticed(folder: Path, packed: Path) -> None:
    early, mapped = H5Images(packed), H5Images(packed)
    before = mapped.hq(0).copy()
    pack([folder / "image10.png"], packed, X2)
    np.testing.assert_array_equal(mapped.hq(0), before)  # a map keeps the file it was made from
    with pytest.raises(InputError, match="replaced"):
        early.hq(0)


def test_a_file_cut_short_while_it_is_read_is_noticed(packed: Path) -> None:
    images = H5Images(packed)
    images.hq(0)
    os.truncate(packed, packed.stat().st_size // 2)  # a page past the end would end the process
    with pytest.raises(InputError, match="cut short while it was in use"):
        images.hq(len(images) - 1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(packed: Path, part: float) -> None:
    content = packed.read_bytes()
    short = packed.with_name("short.h5")
    short.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=r"short\.h5"):
        H5Images(short)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_verify_names_the_image_of_any_altered_byte(packed: Path, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 2))
    kind = data.draw(st.sampled_from(["hq", "lq"]))
    with h5py.File(packed) as file:
        dataset = file[f"{kind}/{index:06d}"]
        position = dataset.id.get_offset() + data.draw(st.integers(0, dataset.size - 1))
    content = bytearray(packed.read_bytes())
    content[position] ^= data.draw(st.integers(1, 255))
    altered = packed.with_name("altered.h5")
    altered.write_bytes(content)
    images = H5Images(altered)
    with pytest.raises(InputError, match=rf"'{images.names[index]}' \({kind}\)"):
        images.verify()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_byte_altered_anywhere_never_gives_other_pixels(packed: Path, place: float, change: int) -> None:
    content = bytearray(packed.read_bytes())
    content[int(place * len(content))] ^= change
    altered = packed.with_name("altered.h5")
    altered.write_bytes(content)
    whole = H5Images(packed)
    try:
        images = H5Images(altered)
        images.verify()
    except InputError as error:
        assert "altered.h5" in str(error)
        return
    assert images.task == whole.task
    for index in range(len(whole)):
        np.testing.assert_array_equal(images.hq(index), whole.hq(index))
        np.testing.assert_array_equal(images.lq(index), whole.lq(index))


def test_a_file_name_that_is_not_utf8(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9.png"  # Latin-1 on the disk
    try:
        odd.write_bytes((folder / "image8.png").read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    pack([odd], tmp_path / "a.h5", X2)
    assert H5Images(tmp_path / "a.h5").names == ["caf\\udce9"]
