"""The released checkpoints against the authors' own outputs, and files that are not quite released checkpoints."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jsnas.checkpoint import load_checkpoint, save_checkpoint
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.official import BLOCK_LAYERS, import_official, official_names, rename_block
from jsnas.restore import restore_array
from jsnas.task import Task

CPU = torch.device("cpu")


def released(scale: int, seed: int = 0) -> tuple[JSNet, dict[str, Tensor]]:
    """A fresh network, and its weights as the authors would have saved them."""
    torch.manual_seed(seed)
    network = JSNet(Genotype.load("jsnet-sr"), NetworkSettings(3, scale, 5)).eval()
    state = network.state_dict()
    return network, {theirs: state[ours].clone() for ours, theirs in official_names(network).items()}


def rounding(output: np.ndarray) -> float:
    """What float32 may lose over the network's layers: 32 of its steps at the largest value (0.002 at 440).

    The authors' own outputs are up to 21 such steps from float64.
    """
    return 32 * float(np.finfo(np.float32).eps * np.abs(output).max())


@pytest.mark.parametrize("scale", [2, 4])
def test_outputs_equal_the_authors(shared: Path, scale: int) -> None:
    network, task = import_official(shared / f"weights/official/jsnet_x{scale}.pt")
    assert task == Task("sr", scale=scale)
    assert network.metadata["task"] == task
    assert network.genotype == Genotype.load("jsnet-sr")
    golden = np.load(shared / f"golden/official_x{scale}.npz")
    exact = copy.deepcopy(network).double()  # what no processor's way of summing changes
    cases = [key for key in golden if key.endswith("_input")]
    assert len(cases) == 4
    for key in cases:
        expected = golden[key.replace("input", "output")]
        with torch.no_grad():
            here = exact(torch.from_numpy(golden[key]).double()).numpy()
        np.testing.assert_allclose(expected, here, rtol=0, atol=rounding(expected), err_msg=key)
        restored = restore_array(network, golden[key][0].transpose(1, 2, 0), CPU).transpose(2, 0, 1)
        np.testing.assert_allclose(restored, here[0], rtol=0, atol=2 * rounding(expected), err_msg=key)
        if "noise" not in key:  # a photograph, whose values are those of 8 bits
            np.testing.assert_allclose(restored, expected[0], rtol=0, atol=1e-3, err_msg=key)


def test_trained_mean_shift_survives_our_checkpoint(shared: Path, tmp_path: Path) -> None:
    path = shared / "weights/official/jsnet_x2.pt"
    network, task = import_official(path)
    raw = torch.load(path, map_location="cpu", weights_only=True)
    save_checkpoint(tmp_path / "x2.safetensors", network, task)
    again = load_checkpoint(tmp_path / "x2.safetensors")
    assert raw["sub_mean.bias"][0] == pytest.approx(-114.3, abs=0.05)  # the released value; the mean is 114.44
    torch.testing.assert_close(again.subtract_mean.bias, raw["sub_mean.bias"], rtol=0, atol=0)
    torch.testing.assert_close(again.add_mean.weight, raw["add_mean.weight"], rtol=0, atol=0)
    assert again.metadata["task"] == task
    lq = np.random.default_rng(0).integers(0, 256, (20, 23, 3), dtype=np.uint8)
    np.testing.assert_array_equal(restore_array(again, lq, CPU), restore_array(network, lq, CPU))


@pytest.mark.parametrize(("scale", "tensors"), [(2, 419), (3, 419), (4, 421)])
def test_every_scale_makes_the_round_trip(tmp_path: Path, scale: int, tensors: int) -> None:
    network, theirs = released(scale)
    assert len(theirs) == tensors
    torch.save(theirs, tmp_path / "released.pt")
    imported, task = import_official(tmp_path / "released.pt")
    assert task.scale == scale
    for name, value in network.state_dict().items():
        torch.testing.assert_close(imported.state_dict()[name], value, rtol=0, atol=0)


def test_names_are_those_of_the_released_file(shared: Path) -> None:
    for scale in (2, 4):
        path = shared / f"weights/official/jsnet_x{scale}.pt"
        raw = torch.load(path, map_location="cpu", weights_only=True)
        assert {name: value.shape for name, value in raw.items()} == {
            name: value.shape for name, value in released(scale)[1].items()
        }


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda theirs: theirs.pop(name)


def replace(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda theirs: theirs.update({name: value})


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        *((drop(name), name) for name in ("head.weight", "up.0.weight", "cpam.ca_1_1.at.1.weight_g", "sub_mean.bias")),
        *((drop(name), name) for name in ("up.2.bias", "cells.3.atts.5.at.1.weight")),
        (replace("cells.5.process.weight", torch.zeros(16, 64, 1, 1)), "cells.5.process.weight"),
        (replace("cells.0.atts.4.at.0.weight", torch.zeros(8)), "cells.0.atts.4.at.0.weight"),
        (replace("cells.0.ops.1.op1.0.weight", torch.zeros(16, 16, 3, 3)), "cells.0.ops.1.op1.0.weight"),
        (replace("up.0.weight", torch.zeros(64, 32, 3, 3)), "up.0.weight"),
        (replace("up.0.weight", torch.tensor(0.0)), "up.0.weight"),
        (replace("up.2.weight", torch.zeros(1, 32, 3, 3)), "up.2.weight"),
        (replace("up.0.bias", torch.zeros(7)), "up.0.bias"),
        (replace("head.bias", torch.zeros(64, dtype=torch.int64)), "head.bias"),
        (replace("head.bias", "sixty-four"), "head.bias"),
    ],
)
def test_one_wrong_tensor_is_named(
    tmp_path: Path, scale: int, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    _, theirs = released(scale)
    change(theirs)
    torch.save(theirs, tmp_path / "wrong.pt")
    with pytest.raises(InputError, match=f"'{named}'"):
        import_official(tmp_path / "wrong.pt")


class Code:
    """Pickles into a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    torch.save({"head.weight": Code(witness)}, tmp_path / "code.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Code(witness)))
    for name in ("code.pt", "plain.pt"):
        with pytest.raises(InputError, match="cannot be read"):
            import_official(tmp_path / name)
    assert not witness.exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    torch.save({}, tmp_path / "nothing.pt")
    torch.save({"state_dict": released(2)[1]}, tmp_path / "wrapped.pt")
    for name in ("text", "empty", "list", "nothing", "wrapped", "missing"):
        with pytest.raises(InputError, match=name):
            import_official(tmp_path / f"{name}.pt")
    whole = tmp_path / "whole.pt"
    torch.save(released(2)[1], whole)
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cut"):
        import_official(tmp_path / "cut.pt")


def test_rename_block_is_the_inverse() -> None:
    network, theirs = released(2)
    prefix = "cells.0.atts.0."  # an esa
    block = {name.removeprefix(prefix): value for name, value in theirs.items() if name.startswith(prefix)}
    assert len(block) == 2 * len(BLOCK_LAYERS["esa"])
    expected = network.body[0].attention_part.graph.edges["0_1"].state_dict()
    renamed = rename_block("esa", block)
    assert renamed.keys() == expected.keys()
    assert all(torch.equal(renamed[name], expected[name]) for name in expected)
    with pytest.raises(InputError, match="strange"):
        rename_block("esa", {"strange.weight": torch.zeros(1)})
