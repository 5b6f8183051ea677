"""Reading every kind of image file, and refusing what is none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from png16 import write_png16

from jsnas.data.images import MAX_PIXELS, list_images, read_image, read_luma, write_png
from jsnas.errors import InputError

RGB = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


def test_rgb_and_gray_round_trip(tmp_path: Path) -> None:
    for pixels in (RGB, RGB[..., :1]):
        write_png(tmp_path / "a.png", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png", pixels.shape[2]), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 3), np.repeat(RGB[..., :1], 3, axis=2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    read_image(tmp_path / "a.png", 1)[0, 0] = 0  # the result may be written to


def test_rgb2gray_is_matlabs(shared: Path) -> None:
    # BSD68 was made by MATLAB's rgb2gray from 68 of BSD100's images; which ones is found by the pixels.
    colour = {read_image(path, 1).tobytes() for path in (shared / "data/test/BSD100").glob("*.png")}
    gray = [read_image(path, 1).tobytes() for path in sorted((shared / "data/test/BSD68").glob("*.png"))]
    assert len(gray) == 68
    assert all(pixels in colour for pixels in gray)


def test_luma_is_studio_range_and_a_gray_file_is_used_as_it_is(tmp_path: Path) -> None:
    write_png(tmp_path / "white.png", np.full((2, 2, 3), 255, np.uint8))
    write_png(tmp_path / "red.png", np.array([[[255, 0, 0]]], np.uint8))
    write_png(tmp_path / "gray.png", np.full((2, 2, 1), 255, np.uint8))
    assert np.all(read_luma(tmp_path / "white.png") == 235)
    assert read_luma(tmp_path / "red.png").tolist() == [[[81]]]
    assert np.all(read_luma(tmp_path / "gray.png") == 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    # What each tag value does to the stored rows (TIFF 6.0, p. 36), turned back.
    upright = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: RGB[::-1].transpose(1, 0, 2),
        7: RGB[::-1, ::-1].transpose(1, 0, 2),
        8: RGB[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png", 3), upright)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_rounded_not_cut(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (9, 6, channels), dtype=np.uint16)
    values[0, :4, 0] = [0, 128, 129, 65535]
    write_png16(tmp_path / "deep.png", values)
    colours = values[..., : 3 if channels > 2 else 1]
    expected = np.floor(colours / 257 + 0.5).astype(np.uint8)
    assert expected[0, :4, 0].tolist() == [0, 0, 1, 255]
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", expected.shape[2]), expected)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff(tmp_path: Path, channels: int, byteorder: str) -> None:
    values = np.random.default_rng(2).integers(0, 65536, (9, 6, channels), dtype=np.uint16)
    stored = values[..., 0] if channels == 1 else values
    kind = "minisblack" if channels == 1 else "rgb"
    extra = ["unassalpha"] if channels == 4 else None
    tifffile.imwrite(tmp_path / "deep.tif", stored, byteorder=byteorder, photometric=kind, extrasamples=extra)
    expected = np.floor(values[..., : min(channels, 3)] / 257 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif", expected.shape[2]), expected)


def test_palette_alpha_cmyk_and_bilevel(tmp_path: Path) -> None:
    flat = np.zeros((4, 4, 3), np.uint8)
    flat[:2], flat[2:] = (10, 200, 30), (250, 0, 7)
    picture = Image.fromarray(flat)
    picture.quantize(2).save(tmp_path / "palette.png")
    picture.quantize(2).save(tmp_path / "clear.png", transparency=b"\x00\x80")
    rgba = picture.convert("RGBA")
    rgba.putalpha(0)
    rgba.save(tmp_path / "alpha.png")
    for name in ("palette.png", "clear.png", "alpha.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name, 3), flat, err_msg=name)
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_allclose(read_image(tmp_path / "cmyk.tif", 3), flat, atol=1)
    Image.fromarray(flat[..., 0] > 100).save(tmp_path / "bits.png")
    assert np.unique(read_image(tmp_path / "bits.png", 1)).tolist() == [0, 255]
    Image.fromarray(flat[..., :2]).save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png", 1), flat[..., :1])


def test_one_pixel_and_unicode_names(tmp_path: Path) -> None:
    path = tmp_path / "été 写真 🐯.png"
    write_png(path, RGB[:1, :1])
    np.testing.assert_array_equal(read_image(path, 3), RGB[:1, :1])
    assert list_images(tmp_path) == [path]


def test_a_panorama_wider_than_pillow_likes(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"  # 100 million pixels: Pillow warns from 89 million on
    Image.new("1", (40_000, 2_500)).save(path)
    limit = Image.MAX_IMAGE_PIXELS
    assert read_image(path, 1).shape == (2_500, 40_000, 1)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_more_pixels_than_the_limit_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "vast.pgm"
    path.write_bytes(b"P5 40000 40000 255\n")
    assert MAX_PIXELS < 40_000 * 40_000
    with pytest.raises(InputError, match=r"vast\.pgm.*40000 x 40000"):
        read_image(path, 1)


def test_broken_files_are_named(tmp_path: Path) -> None:
    write_png(tmp_path / "whole.png", np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = (tmp_path / "whole.png").read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    contents = {"empty": b"", "text": b"not an image", "damaged": bytes(damaged)}
    contents |= {f"cut{size}": whole[:size] for size in (4, 20, 40, 60, len(whole) // 2, len(whole) - 40)}
    for name, content in contents.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.png"):
            read_image(path, 3)
        with pytest.raises(InputError, match=rf"{name}\.png"):
            read_luma(path)


def test_a_cut_jpeg_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg", 3)


def test_values_without_an_8_bit_meaning_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.ones((3, 3), np.int32)).save(tmp_path / "int.tif")
    for name, word in (("float.tif", "floats"), ("int.tif", "32-bit")):
        with pytest.raises(InputError, match=word):
            read_image(tmp_path / name, 1)


def test_input_errors(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "dir.png").mkdir()
    for call, words in [
        (lambda: read_image(tmp_path / "none.png", 3), "no file"),
        (lambda: read_image(tmp_path, 3), "no file"),
        (lambda: read_image(tmp_path / "none.png", 2), "2 channels"),
        (lambda: list_images(tmp_path / "none"), "no folder"),
        (lambda: list_images(tmp_path), r"no image.*\.png"),
        (lambda: write_png(tmp_path / "none/a.png", RGB), "create it first"),
        (lambda: write_png(tmp_path / "dir.png", RGB), "is a folder"),
        (lambda: write_png(tmp_path / "a\0.png", RGB), "is no name of a file"),
        (lambda: write_png(tmp_path / "\ud800.png", RGB), "is no name of a file"),
        (lambda: write_png(tmp_path / "a.png", RGB / 255), "uint8"),
        (lambda: write_png(tmp_path / "a.png", RGB[..., 0]), "H x W x 1"),
        (lambda: write_png(tmp_path / ("a" * 300 + ".png"), RGB), "could not be written"),
    ]:
        with pytest.raises(InputError, match=words):
            call()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir.png", "notes.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_input_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="could not be written"):
        write_png(tmp_path / "a.png", RGB)


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_png(tmp_path / ("a" * 251 + ".png"), RGB)
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 251 + ".png"]


def test_natural_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("img10.png", "img9.PNG", "img1.jpg", "a.bmp", "._img1.png", "2.webp", "10.tif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == [
        "2.webp",
        "10.tif",
        "a.bmp",
        "img1.jpg",
        "img9.PNG",
        "img10.png",
    ]


def test_of_several_pictures_none_is_taken_for_the_file(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    for name in ("two.webp", "two.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(InputError, match="holds 2 pictures"):
            read_image(tmp_path / name, 3)
    frames[0].save(tmp_path / "telephone.jpg", "MPO", save_all=True, append_images=frames[1:], quality=100)
    assert np.abs(read_image(tmp_path / "telephone.jpg", 3).astype(int) - RGB).mean() < 60  # the first one
