"""Pictures come back with all that belongs to them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from png16 import write_png16

from jsnas.data.pictures import Picture, read_picture, write_picture
from jsnas.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_round_trips(tmp_path: Path, channels: int, dtype: type) -> None:
    values = RNG.integers(0, np.iinfo(dtype).max, (70, 9, channels), dtype=dtype, endpoint=True)
    has_alpha = channels in (2, 4)
    exif = Image.Exif()
    exif[271] = "Maker"
    picture = Picture(
        values[..., : channels - has_alpha], values[..., -1] if has_alpha else None, b"profile", exif.tobytes()
    )
    with (tmp_path / "a.png").open("wb") as file:
        write_picture(file, picture)
    again = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(again.colour, picture.colour)
    assert again.colour.dtype == dtype
    if picture.alpha is None:
        assert again.alpha is None
    else:
        assert again.alpha is not None
        np.testing.assert_array_equal(again.alpha, picture.alpha)
    assert again.icc == b"profile"
    with Image.open(tmp_path / "a.png") as image:
        image.load()  # Pillow checks every chunk's sum
        assert image.getexif()[271] == "Maker"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_of_other_writers(tmp_path: Path, channels: int) -> None:
    values = RNG.integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    write_png16(tmp_path / "a.png", values)
    picture = read_picture(tmp_path / "a.png")
    colours = channels - (channels in (2, 4))
    np.testing.assert_array_equal(picture.colour, values[..., :colours])
    assert (picture.alpha is None) == (colours == channels)
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, values[..., -1])


def test_a_turned_photograph_stands_upright_and_says_so(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    pixels = RNG.integers(0, 256, (4, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.colour, np.rot90(pixels, -1))
    buffer = io.BytesIO()
    write_picture(buffer, picture)
    with Image.open(buffer) as image:
        assert image.getexif().get(274) in (None, 1)


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="holds 2 pictures"):
        read_picture(tmp_path / "two.gif")
    with pytest.raises(InputError, match="no file"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path / "text.png")
