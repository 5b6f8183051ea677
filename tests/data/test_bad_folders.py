"""Folders that lie: packed through the command line, each oddity is handled or said in a sentence; the old H5 stays."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jsnas.data.h5 import H5Images
from jsnas.data.images import write_png
from jsnas.data.pack import pack
from jsnas.errors import InputError
from jsnas.task import Task
from trainers.cli import main
from trainers.config_file import load_config
from trainers.run_folder import RunFolder

X2 = Task("sr", 2)
RGB = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def cut_short(folder: Path) -> None:
    write_png(folder / "a.png", RGB)
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:-60])


def one_pixel(folder: Path) -> None:
    write_png(folder / "dot.png", RGB[:1, :1])


def wrong_pair(folder: Path) -> None:
    for name, pixels in (("HR/a.png", RGB), ("LR_bicubic/X2/ax2.png", RGB[:5, :5])):
        (folder / name).parent.mkdir(parents=True)
        write_png(folder / name, pixels)


def missing_pair(folder: Path) -> None:
    wrong_pair(folder)
    write_png(folder / "HR" / "b.png", RGB)


def floats(folder: Path) -> None:
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "f.tif")


def vast(folder: Path) -> None:
    (folder / "vast.ppm").write_bytes(b"P6 60000 60000 255\n")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (cut_short, r"a\.png' cannot be read as an image .*replace or remove it"),
        (one_pixel, r"dot\.png' has 1 x 1 pixels, too few for scale 2; leave it out"),
        (wrong_pair, r"ax2\.png' has 5 x 5 pixels, but .*is 5 x 6; check both files"),
        (missing_pair, r"has no bx2\.png for 'b\.png'; add it or move that folder away"),
        (floats, r"f\.tif' holds floats.*save it with 8 or 16 bits"),
        (vast, r"vast\.ppm' has 60000 x 60000 pixels.*cut it up first"),
    ],
)
def test_what_cannot_be_packed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], sentence: str
) -> None:
    out = tmp_path / "images.h5"
    out.write_bytes(b"\x89HDF, the old one")
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    assert main(["pack", str(tmp_path / "in"), str(out), "--task", "sr", "--scale", "2"]) == 2
    said = capsys.readouterr().err
    assert re.search(sentence, said) and said.count("\n") == 1, said
    assert out.read_bytes() == b"\x89HDF, the old one" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("bad", "count"), [((3,), ""), ((2, 3, 18, 39), "4 images"), (range(12), "10 images or more")])
def test_all_faulty_images_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: Sequence[int], count: str, processes: int
) -> None:
    folder, out = tmp_path / "in", tmp_path / "images.h5"
    folder.mkdir()
    for number in range(40):  # three parts
        write_png(folder / f"{number}.png", RGB)
    for number in bad:
        (folder / f"{number}.png").write_text("no image")
    command = ["pack", str(folder), str(out), "--task", "sr", "--scale", "2", "--processes", str(processes)]
    assert main(command) == 2
    said = capsys.readouterr().err
    named = {int(number) for number in re.findall(r"(\d+)\.png' cannot be read as an image", said)}
    assert named == set(bad) if len(bad) < 10 else (named <= set(bad) and len(named) == 10)
    assert f"jsnas: {count} cannot be used. '" in said if count else "cannot be used" not in said
    assert said.count("\n") == 1 and not out.exists()
    for number in bad:
        write_png(folder / f"{number}.png", RGB)
    assert main(command) == 0
    if len(bad) == 1:
        assert "24 images had been packed before" in capsys.readouterr().out  # in the parts without a fault
    assert len(H5Images(out)) == 40


def test_what_is_odd_but_an_image_is_packed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: stored 12 wide and 10 high, upright 10 wide and 12 high
    picture = Image.fromarray(RGB)
    Image.fromarray(np.rot90(RGB)).save(tmp_path / "turned.png", exif=exif)
    picture.save(tmp_path / "été 写真 🐯.png")
    picture.convert("L").save(tmp_path / "gray.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.quantize(16).save(tmp_path / "palette.png")
    Image.fromarray(RGB[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.zeros((4, 40_000, 3), np.uint8)).save(tmp_path / "wide.png")
    write_png(tmp_path / "odd.png", RGB[:11, :9])  # no multiple of the scale: cropped from the top left
    pack(tmp_path, tmp_path / "a.h5", X2)
    images = H5Images(tmp_path / "a.h5")
    images.verify()
    found = {name: images.hq(index) for index, name in enumerate(images.names)}
    assert found["wide"].shape == (4, 40_000, 3)
    for name in ("turned", "été 写真 🐯", "alpha"):
        np.testing.assert_array_equal(found[name], RGB, err_msg=name)
    np.testing.assert_allclose(found["cmyk"], RGB, atol=1)
    np.testing.assert_array_equal(found["deep"], np.repeat(RGB[..., :1], 3, axis=2))
    np.testing.assert_array_equal(found["odd"], RGB[:10, :8])
    assert found["gray"].shape == found["palette"].shape == RGB.shape


@pytest.mark.parametrize("change", ["removed", "cut", "replaced by text"])
def test_a_folder_that_changes_while_it_is_packed(tmp_path: Path, change: str) -> None:
    folder, out = tmp_path / "in", tmp_path / "a.h5"
    folder.mkdir()
    for number in range(30):  # more than a part, or than are read ahead
        write_png(folder / f"{number}.png", RGB)
    pack([folder / "0.png"], out, X2)
    before = out.read_bytes()

    def disturb(done: int, count: int) -> None:
        last = folder / "29.png"
        if done <= 16 and last.exists():  # a large pack tells of every part
            last.unlink() if change == "removed" else last.write_bytes(
                last.read_bytes()[:50] if change == "cut" else b"notes"
            )

    with pytest.raises(InputError, match=r"29\.png'"):
        pack(folder, out, X2, disturb)
    assert out.read_bytes() == before
    # What was done of a large pack is kept for the next one, in a hidden folder.
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["a.h5", "in"]


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """A folder that this process may read and not write; root gives up its rights meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), os.geteuid() == 0
        write_png(folder / "a.png", RGB)
        for path in (folder, *folder.iterdir()):
            path.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX rights")
def test_a_read_only_folder_is_named() -> None:
    config = load_config("demo")  # what is imported late lies where only root may read
    with read_only_folder() as folder:
        with pytest.raises(InputError, match=r"b\.h5' could not be written .*choose another folder"):
            pack(folder, folder / "b.h5", X2)
        with pytest.raises(InputError, match=r"run' cannot be made.*choose another --out"):
            RunFolder(folder / "run", config, "search", resume=False)
        with pytest.raises(InputError, match=r"Nothing can be written into.*choose another --out"):
            RunFolder(folder, config, "search", resume=False)
