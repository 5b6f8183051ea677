"""``jsnas verify``: whole files are said to be, and any altered byte is noticed in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from jsnas import Genotype, JSNet, NetworkSettings, Task, save_checkpoint
from jsnas.checkpoint import load_checkpoint
from jsnas.errors import InputError
from trainers.cli import main
from trainers.state import save_state
from trainers.verify import verify


@pytest.fixture
def files(tiny: Path, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "a.h5").write_bytes((tiny / "data.h5").read_bytes())
    network = JSNet(Genotype.load("rb-ca"), NetworkSettings(3, 2, modules=1, channels=16, inner_channels=4))
    save_checkpoint(tmp_path / "a.safetensors", network, Task("sr", 2))
    save_state(tmp_path, 7, {"weights": torch.zeros(500)})
    (tmp_path / "a.json").write_text(Genotype.load("rb-ca").to_json())
    names = {"h5": "a.h5", "safetensors": "a.safetensors", "pt": "00000007.pt", "json": "a.json"}
    return {kind: tmp_path / name for kind, name in names.items()}


def test_whole_files_are_said_to_be_whole(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *map(str, files.values())]) == 0
    said = capsys.readouterr().out.splitlines()
    for line, words in zip(
        said, ("5 images packed for sr-x2", "checkpoint for sr-x2", "iteration 7", "ca"), strict=True
    ):
        assert "whole" in line and words in line


@pytest.mark.parametrize("kind", ["h5", "safetensors", "pt"])
def test_altered_and_cut_files_are_not(files: dict[str, Path], kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = files[kind]
    whole = path.read_bytes()
    for place in (0.5, 0.7, 0.9):
        data = bytearray(whole)
        data[int(place * len(data))] ^= 4
        path.write_bytes(data)
        assert main(["verify", str(path)]) == 2
        said = capsys.readouterr().err
        assert path.name in said and "damaged" in said, said
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert main(["verify", str(path)]) == 2
    said = capsys.readouterr().err
    assert path.name in said and ("cut short" in said or "truncated" in said), said


def test_what_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "code.pt").write_bytes(b"not a state")
    for path, words in (
        (tmp_path, "is a folder without packed images"),
        (tmp_path / "no.h5", "no file"),
        (tmp_path / "code.pt", "damaged"),
    ):
        with pytest.raises(InputError, match=words):
            verify(path)


def test_swapped_weights_are_noticed_where_every_shape_fits(files: dict[str, Path]) -> None:
    path = files["safetensors"]
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["head.bias"] = tensors["head.bias"] + 1
    save_file(tensors, path, metadata)
    with pytest.raises(InputError, match="altered"):
        load_checkpoint(path)
    del metadata["sha256"]  # as checkpoints of before had none
    save_file(tensors, path, metadata)
    load_checkpoint(path)
