"""Large packs: in parts, by several processes, carried on after a kill, and as a folder of shards."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

import jsnas.data.pack as pack_module
from jsnas.data.h5 import H5Images
from jsnas.data.pack import pack
from jsnas.data.patches import PatchBatches
from jsnas.errors import InputError
from jsnas.task import Task

X2 = Task("sr", scale=2)
COUNT = 35  # three parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(5)
    for number in range(COUNT):
        size = (24 + 2 * (number % 5), 32, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / f"image{number}.png")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All images in one go, as before there were parts."""
    out = tmp_path_factory.mktemp("whole") / "all.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_module, "_PART_IMAGES", 1000)
        pack(folder, out, X2)
    return out


@pytest.mark.parametrize("processes", [1, 2])
def test_parts_make_the_very_same_file(folder: Path, whole: Path, tmp_path: Path, processes: int) -> None:
    told: list[tuple[int, int]] = []
    summary = pack(folder, tmp_path / "a.h5", X2, lambda *counts: told.append(counts), processes)
    assert (tmp_path / "a.h5").read_bytes() == whole.read_bytes()
    assert (summary.images, summary.kept, summary.bytes) == (COUNT, 0, whole.stat().st_size)
    assert summary.pixels == sum((24 + 2 * (n % 5)) * 32 for n in range(COUNT))
    assert told[-1] == (COUNT, COUNT) and told == sorted(told)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


KILLED = """
import os, signal, sys
from pathlib import Path
from jsnas.data.pack import pack
from jsnas.task import Task
if __name__ == "__main__":
    die = lambda done, count: os.kill(os.getpid(), signal.SIGKILL)
    shards = int(sys.argv[3]) if sys.argv[3] else None
    pack(Path(sys.argv[1]), Path(sys.argv[2]), Task("sr", scale=2), die, shard_images=shards)
"""


@pytest.mark.parametrize("shards", ["", "8"])
def test_a_killed_pack_goes_on_where_it_stopped(folder: Path, whole: Path, tmp_path: Path, shards: str) -> None:
    out = tmp_path / "a"
    command = [sys.executable, "-c", KILLED, str(folder), str(out), shards]
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=root, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    made = next((tmp_path / ".a.parts").glob("0*.h5"))
    before = made.stat().st_mtime_ns
    (tmp_path / ".a.parts" / ".half.part").write_bytes(b"cut short")
    summary = pack(folder, out, X2, shard_images=int(shards) if shards else None)
    assert summary.kept == (8 if shards else 16)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["a"]
    if shards:
        assert (out / made.name).stat().st_mtime_ns == before
        assert [file.name for file in sorted(out.iterdir())] == [f"{n:05d}-of-00005.h5" for n in range(1, 6)]
        H5Images(out).verify()
    else:
        assert out.read_bytes() == whole.read_bytes()


def test_an_image_that_changed_meanwhile_is_packed_anew(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "images"
    shutil.copytree(folder, copy)
    good = (copy / "image20.png").read_bytes()
    (copy / "image20.png").write_bytes(good[:100])
    with pytest.raises(InputError, match=r"image20\.png"):
        pack(copy, tmp_path / "a.h5", X2)
    assert not (tmp_path / "a.h5").exists()
    (copy / "image20.png").write_bytes(good)
    Image.fromarray(np.full((24, 32, 3), 7, np.uint8)).save(copy / "image0.png")  # of the part that was done
    assert pack(copy, tmp_path / "a.h5", X2).kept == 3  # the last part had no fault
    images = H5Images(tmp_path / "a.h5")
    images.verify()
    assert (images.hq(images.names.index("image0")) == 7).all()


def test_a_folder_of_shards_is_one_data_set(folder: Path, whole: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "shards", X2, processes=2, shard_images=10)
    one, several = H5Images(whole), H5Images(tmp_path / "shards")
    assert several.names == one.names and several.sha256() == one.sha256()
    several.verify()
    streams = [PatchBatches(images, X2, range(COUNT), 8, 6, seed=1) for images in (one, several)]
    for index in range(5):
        for a, b in zip(streams[0][index], streams[1][index], strict=True):
            assert torch.equal(a, b)
    (tmp_path / "shards" / "00002-of-00004.h5").rename(tmp_path / "elsewhere.h5")
    with pytest.raises(InputError, match="holds 3 of 4 shards"):
        H5Images(tmp_path / "shards")


def test_files_that_do_not_belong_together_are_refused(folder: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match="holds no H5"):
        H5Images(tmp_path / "set")
    shutil.copy(whole, tmp_path / "set" / "a.h5")
    shutil.copy(whole, tmp_path / "set" / "b.h5")
    with pytest.raises(InputError, match=r"2 images in the files of .* are named 'image0'"):
        H5Images(tmp_path / "set")
    pack([folder / "image0.png"], tmp_path / "set" / "b.h5", Task("deblock", quality=10))
    with pytest.raises(InputError, match=r"b\.h5' was packed for deblock-10, but .*a\.h5' for sr-x2"):
        H5Images(tmp_path / "set")


def test_what_cannot_be_packed_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already"):
        pack(folder, tmp_path / "there", X2, shard_images=10)
    with pytest.raises(InputError, match="is a folder"):
        pack(folder, tmp_path / "there", X2)
    with pytest.raises(InputError, match="create it first"):
        pack(folder, tmp_path / "none" / "a.h5", X2)
    for wrong in ({"processes": 0}, {"shard_images": 0}):
        with pytest.raises(InputError, match="give 1 or more"):
            pack(folder, tmp_path / "a.h5", X2, **wrong)
    with FileLock(tmp_path / ".a.h5.lock"), pytest.raises(InputError, match="Another process"):
        pack(folder, tmp_path / "a.h5", X2)
