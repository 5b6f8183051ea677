"""Checkpoints rebuild themselves and refuse what does not fit; the metadata are untrusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file
from torch import Tensor

from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task, load_checkpoint, save_checkpoint


@pytest.fixture
def network() -> JSNet:
    torch.manual_seed(0)
    return JSNet(Genotype.load("jsnet-sr"), NetworkSettings(3, 2, modules=1, channels=16, inner_channels=4)).eval()


@pytest.fixture
def path(tmp_path: Path, network: JSNet) -> Path:
    save_checkpoint(tmp_path / "c.safetensors", network, Task("sr", 2), {"psnr_db": 30.5})
    return tmp_path / "c.safetensors"


def rewrite(path: Path, tensors: dict[str, Tensor] | None = None, **metadata: str) -> None:
    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file(load_file(path) if tensors is None else tensors, path, {**old, **metadata})


def test_it_rebuilds_the_network(path: Path, network: JSNet) -> None:
    loaded = load_checkpoint(path)
    x = 255 * torch.rand(1, 3, 16, 18)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert (loaded.genotype, loaded.settings) == (network.genotype, network.settings)
    assert loaded.metadata["task"] == Task("sr", 2)
    assert loaded.metadata["metrics"] == {"psnr_db": 30.5}
    assert not loaded.training


def test_it_says_what_it_takes(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["value_range"] == "[0, 255]"
    assert metadata["smallest_input"] == "15"
    assert "jsnas." not in json.dumps(metadata), "no import path is ever stored"


def test_a_missing_extra_or_misshapen_tensor_is_named(path: Path) -> None:
    tensors = load_file(path)
    rewrite(path, {k: v for k, v in tensors.items() if k != "head.bias"})
    with pytest.raises(InputError, match=r"lacks the tensor 'head\.bias'"):
        load_checkpoint(path)
    rewrite(path, {**tensors, "extra": torch.zeros(1)})
    with pytest.raises(InputError, match="'extra'"):
        load_checkpoint(path)
    rewrite(path, {**tensors, "head.bias": torch.zeros(3)})
    with pytest.raises(InputError, match=r"'head\.bias' has shape \(3,\)"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("format", "jsnas-checkpoint/9", "jsnas-checkpoint/9"),
        ("genotype", "{", "no JSON"),
        ("genotype", "{}", "format"),
        ("settings", "[1]", "a list"),
        ("settings", '{"scale": 2}', "incomplete"),
        ("settings", '{"sclae": 2}', "did you mean 'scale'"),
        ("settings", '{"scale": "2"}', "whole number"),
        ("settings", '{"image_channels": 3, "scale": 2, "modules": 1000000000}', "modules"),
        ("task", '{"name": 3}', "task"),
        ("task", '{"name": "sr", "scale": 7}', "it is 7"),
        ("metrics", "nonsense", "no JSON"),
    ],
)
def test_wrong_metadata_are_refused(path: Path, key: str, value: str, sentence: str) -> None:
    rewrite(path, **{key: value})
    with pytest.raises(InputError, match=sentence):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5, 0.999])
def test_a_file_cut_short_is_refused(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match=r"damaged|cut short"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_an_unwritable_place_is_named(tmp_path: Path, network: JSNet) -> None:
    with pytest.raises(InputError, match="missing/c"):
        save_checkpoint(tmp_path / "missing" / "c.safetensors", network, Task("sr", 2))
