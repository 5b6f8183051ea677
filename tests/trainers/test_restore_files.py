"""`jsnas restore` as a user meets it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task, load_checkpoint, save_checkpoint
from jsnas.data.pictures import Picture, read_picture, write_picture
from jsnas.metrics import quantize, rgb_to_y
from jsnas.restore import restore_array
from trainers.cli import main
from trainers.restore_files import find_inputs, name_outputs

CPU = torch.device("cpu")


def checkpoint(path: Path, task: Task) -> JSNet:
    torch.manual_seed(0)
    genotype = Genotype(
        task.name, (((0, 1), "rdb_light"),), (((0, 1), "cea"),), task.scale if task.name == "sr" else None
    )
    network = JSNet(genotype, NetworkSettings.for_task(task, 1, 16, 8)).eval()
    save_checkpoint(path, network, task)
    return network


@pytest.fixture
def sr(tmp_path: Path) -> Path:
    checkpoint(tmp_path / "sr.safetensors", Task("sr", 2))
    return tmp_path / "sr.safetensors"


def image(path: Path, shape: tuple[int, ...] = (20, 24, 3), dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    colours = shape[2] - (shape[2] in (2, 4))
    path.parent.mkdir(exist_ok=True, parents=True)
    with path.open("wb") as file:
        write_picture(file, Picture(values[..., :colours], values[..., -1] if colours < shape[2] else None))
    return values


def test_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/10.png", "a/2.png", "a/deep/3.png", "b.png", "odd[1].png"):
        image(tmp_path / name, (2, 2, 3))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    assert [str(path) for path in find_inputs(["b.png", "a", "a/*"])] == ["b.png", "a/2.png", "a/10.png"]
    assert [path.name for path in find_inputs(["a/**/*.png"])] == ["10.png", "2.png", "3.png"]
    assert find_inputs(["odd[1].png"]) == [Path("odd[1].png")]
    for word, pattern in (("none.png", "no file or folder"), ("x*.png", "matches no image"), ("a/*.txt", "no image")):
        with pytest.raises(InputError, match=pattern):
            find_inputs([word])


def test_names_that_overwrite_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = [tmp_path / name for name in ("a.jpg", "a.tif", "b.jpg")]
    assert [path.name for path in name_outputs(files, out, False)] == ["a.jpg.png", "a.tif.png", "b.png"]
    image(out / "b.png", (2, 2, 3))
    with pytest.raises(InputError, match="exists"):
        name_outputs(files, out, False)
    assert name_outputs(files, out, True)[2] == out / "b.png"
    with pytest.raises(InputError, match="one of the inputs"):
        name_outputs([out / "b.png"], out, True)
    with pytest.raises(InputError, match=r"named 'a\.jpg'"):
        name_outputs([tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg"], out, False)


def test_colour_alpha_and_16_bits_are_kept(tmp_path: Path, sr: Path) -> None:
    network = load_checkpoint(sr)
    for channels in (1, 2, 3, 4):
        for dtype in (np.uint8, np.uint16):
            name = f"{channels}-{np.dtype(dtype).name}.png"
            values = image(tmp_path / "in" / name, (20, 24, channels), dtype)
            assert main(["restore", str(sr), str(tmp_path / "in" / name), "--out", str(tmp_path / "out")]) == 0
            restored = read_picture(tmp_path / "out" / name)
            assert restored.colour.dtype == dtype
            assert restored.colour.shape == (40, 48, 1 if channels < 3 else 3)
            assert (restored.alpha is not None) == (channels in (2, 4))
            top = np.iinfo(dtype).max
            lq = values[..., : 3 if channels > 2 else 1].astype(np.float32) * np.float32(255 / top)
            expected = restore_array(network, np.repeat(lq, 3 // lq.shape[2], axis=2), CPU)
            if channels > 2:
                np.testing.assert_allclose(
                    restored.colour, np.clip(expected, 0, 255) * (top / 255), rtol=0, atol=0.51 if top == 255 else 3
                )
            if restored.alpha is not None:
                assert abs(restored.alpha.mean() / values[..., -1].mean() - 1) < 0.05


def test_a_colour_jpeg_keeps_its_chroma(tmp_path: Path) -> None:
    network = checkpoint(tmp_path / "d.safetensors", Task("deblock", quality=10))
    values = (image(tmp_path / "a.png") // 2 + 64).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert (
        main(["restore", str(tmp_path / "d.safetensors"), str(tmp_path / "a.png"), "--out", str(tmp_path / "o")]) == 0
    )
    restored = read_picture(tmp_path / "o" / "a.png").colour.astype(float)
    luma = rgb_to_y(values)
    expected = restore_array(network, luma[..., None].astype(np.float32), CPU)[..., 0]
    inside = ((restored > 0) & (restored < 255)).all(2)
    assert inside.any()
    np.testing.assert_allclose(rgb_to_y(restored)[inside], expected[inside], atol=0.6)
    np.testing.assert_allclose(np.diff(restored, axis=2)[inside], np.diff(values.astype(float), axis=2)[inside], atol=1)


def test_a_noisy_colour_picture_is_denoised_by_channel(tmp_path: Path) -> None:
    network = checkpoint(tmp_path / "d.safetensors", Task("denoise", sigma=30))
    values = image(tmp_path / "a.png")
    assert (
        main(["restore", str(tmp_path / "d.safetensors"), str(tmp_path / "a.png"), "--out", str(tmp_path / "o")]) == 0
    )
    restored = read_picture(tmp_path / "o" / "a.png").colour
    for k in range(3):
        expected = quantize(restore_array(network, values[..., k : k + 1], CPU))[..., 0]
        assert np.abs(restored[..., k].astype(int) - expected).max() <= 1


def test_one_bad_image_does_not_stop_the_others(tmp_path: Path, sr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    image(tmp_path / "in" / "c.png")
    assert main(["restore", str(sr), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    captured = capsys.readouterr()
    assert "megapixels/s" in captured.out
    assert "1 of 3 images" in captured.err and "b.png" in captured.err


def test_a_pipe(tmp_path: Path, sr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "a.png")

    class Stream:
        def __init__(self, content: bytes = b"") -> None:
            self.buffer = io.BytesIO(content)

        def flush(self) -> None:
            pass

    out = Stream()
    monkeypatch.setattr(sys, "stdin", Stream((tmp_path / "a.png").read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["restore", str(sr), "-", "--out", "-"]) == 0
    with Image.open(io.BytesIO(out.buffer.getvalue())) as restored:
        assert restored.size == (48, 40)
    monkeypatch.setattr(sys, "stdin", Stream(b"no image"))
    assert main(["restore", str(sr), "-", "--out", "-"]) == 2
    assert main(["restore", str(sr), "-", "--out", str(tmp_path)]) == 2


def test_tiles_on_request(tmp_path: Path, sr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path / "a.png", (50, 61, 3))
    words = ["restore", str(sr), str(tmp_path / "a.png"), "--out"]
    assert main([*words, str(tmp_path / "strips")]) == 0
    tiles = ["--backend", "cpu", "--tile", "18", "--overlap", "24", "--batch", "2"]
    assert main([*words, str(tmp_path / "tiles"), *tiles]) == 0
    a, b = (read_picture(tmp_path / way / "a.png").colour.astype(int) for way in ("strips", "tiles"))
    assert np.abs(a - b).max() <= 1
    assert main([*words, str(tmp_path / "x"), "--backend", "gpu"]) == 2
    assert "gpu" in capsys.readouterr().err
