"""Blocks against the authors' own outputs, and the counts that the paper prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from jsnas.attentions import ATTENTIONS
from jsnas.fusion import CrossScaleFusion
from jsnas.official import rename_block
from jsnas.operations import OPERATIONS

OPERATION_PARAMETERS = {
    "none": 0,
    "skip": 0,
    "rdb_common": 12_304,
    "rdb_sep": 1_728,
    "rdb_dil": 2_016,
    "rdb_light": 6_160,
    "rdb_shallow": 7_696,
}
ATTENTION_PARAMETERS = {"skip": 0, "ca": 1_168, "cca": 1_096, "pa": 541, "cea": 1_096, "sa": 51, "esa": 3_504}


def count(block: nn.Module) -> int:
    return sum(p.numel() for p in block.parameters())


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_has_the_published_parameters(name: str) -> None:
    assert count(OPERATIONS[name](16)) == OPERATION_PARAMETERS[name]


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_has_the_published_parameters(name: str) -> None:
    assert count(ATTENTIONS[name](64)) == ATTENTION_PARAMETERS[name]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("operation", n) for n in OPERATIONS if n.startswith("rdb")]
    + [("attention", n) for n in ATTENTIONS if n != "skip"]
    + [("fusion", "csfm_3x3")],
)
def test_block_gives_the_authors_output(shared: Path, kind: str, name: str) -> None:
    golden = np.load(shared / "golden" / "blocks.npz")
    prefix = f"{kind}/{name}/"
    theirs = {
        key.removeprefix(prefix + "weight/"): torch.from_numpy(golden[key])
        for key in golden
        if key.startswith(prefix + "weight/")
    }
    block = {
        "operation": lambda: OPERATIONS[name](16),
        "attention": lambda: ATTENTIONS[name](64),
        "fusion": lambda: CrossScaleFusion(64),
    }[kind]()
    block.load_state_dict(rename_block("csfm" if kind == "fusion" else name, theirs), strict=True)
    with torch.no_grad():
        output = block(torch.from_numpy(golden[prefix + "input"])).numpy()
    expected = golden[prefix + "output"]
    assert np.abs(output - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("channels", [64, 20, 6])
def test_attention_is_its_input_times_its_gate(name: str, channels: int) -> None:
    torch.manual_seed(0)
    attention = ATTENTIONS[name](channels)
    x = torch.randn(2, channels, 17, 19)
    with torch.no_grad():
        gate = attention.gate(x)
        torch.testing.assert_close(attention(x), x * gate)
    assert gate.min() >= 0 and gate.max() <= 1


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_operation_keeps_the_shape(name: str, channels: int) -> None:
    x = torch.randn(2, channels, 9, 12)
    assert OPERATIONS[name](channels)(x).shape == x.shape


def test_contrast_attention_has_a_finite_slope_on_a_flat_image() -> None:
    attention = ATTENTIONS["cca"](8)
    x = torch.full((1, 8, 4, 4), 3.0, requires_grad=True)
    attention(x).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


@pytest.mark.parametrize(("kernels", "extra"), [((3, 3), 0), ((5, 3), 16 * 32 * 32), ((5, 5), 2 * 16 * 32 * 32)])
def test_fusion_kernels_change_the_count_by_their_taps(kernels: tuple[int, int], extra: int) -> None:
    fusion = CrossScaleFusion(64, kernels)
    assert count(fusion) == 23_408 + extra
    assert fusion(torch.randn(1, 64, 7, 5)).shape == (1, 32, 7, 5)
