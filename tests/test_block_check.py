"""Planted faults in a candidate block are caught, each by its own sentence; our own blocks raise no alarm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS, Attention
from jsnas.block_check import check_block
from jsnas.errors import InputError
from jsnas.operations import OPERATIONS


class Good(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class StartsAtZero(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.conv(x)


class Normalised(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.norm(self.conv(x)))


class Shrinks(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv = nn.Conv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class BreaksAtOddSizes(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x + F.interpolate(F.avg_pool2d(self.conv(x), 2), scale_factor=2)


class NeedsManyChannels(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels // 8, 1)
        self.back = nn.Conv2d(channels // 8, channels, 1, groups=channels // 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.back(self.conv(x))


class NotFinite(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x).log()


class NotFiniteOnFlatPatches(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x / x.std((2, 3), keepdim=True))


class InfiniteGradientOnFlatPatches(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x.square().mean((2, 3), keepdim=True).sqrt()


class UnusedParameter(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.spare = nn.Conv2d(channels, channels, 1)


class DeadParameter(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.bias = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x) + self.bias
        return x + y - y.mean((2, 3), keepdim=True)


class Detached(Good):
    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv(x)).detach()


class RandomInEvaluation(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x + F.dropout(self.conv(x), 0.5, training=True)


class Remembers(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.conv(x)


class MixesImages(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x - x.mean(0, keepdim=True))


class ChangesItsInput(Good):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        x.data.mul_(0.5)
        return x + y


class HidesItsSmallestInput(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x + F.interpolate(F.max_pool2d(self.conv(x), 7), x.shape[-2:])


class GateThatIsNotForward(Attention):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(x))

    def forward(self, x: Tensor) -> Tensor:
        return x + x * self.gate(x)


class ReturnsTwo(Good):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return x, self.conv(x)


FAULTS = {
    Shrinks: "the shape must stay",
    BreaksAtOddSizes: "17 x 23",
    NeedsManyChannels: "cannot be made with 2 channels",
    NotFinite: "is not finite",
    NotFiniteOnFlatPatches: "on zeros is not finite",
    InfiniteGradientOnFlatPatches: "gradient at an input of zeros",
    UnusedParameter: "'spare.weight' gets no gradient",
    DeadParameter: "'bias' is zero, so it never learns",
    Detached: "No gradient flows",
    RandomInEvaluation: "is it random there",
    Remembers: "changes its own parameters or buffers",
    MixesImages: "depends on the others of its batch",
    ChangesItsInput: "changes its input in place",
    HidesItsSmallestInput: "smallest_input to 7",
    GateThatIsNotForward: "not the input times its gate",
    ReturnsTwo: "returns a tuple",
}


@pytest.mark.parametrize("block", FAULTS, ids=lambda block: block.__name__)
def test_each_planted_fault_is_caught(block: type[nn.Module]) -> None:
    report = check_block(block)
    assert len(report.faults) == 1
    assert FAULTS[block] in report.faults[0]
    assert report.faults[0].endswith((".", "?"))


def test_a_block_that_no_file_holds_cannot_be_exported() -> None:
    text = (
        "from torch import nn\n"
        "class Typed(nn.Module):\n"
        "    def __init__(self, channels):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(channels, channels, 1)\n"
        "    def forward(self, x):\n"
        "        return self.conv(x)\n"
    )
    made: dict[str, Any] = {"__name__": __name__}
    exec(text, made)  # as in a notebook, or a class made at run time
    (fault,) = check_block(made["Typed"]).faults
    assert "cannot be exported as source" in fault


@pytest.mark.parametrize("block", [Good, StartsAtZero, Normalised], ids=lambda block: block.__name__)
def test_a_good_block_raises_no_alarm(block: type[nn.Module]) -> None:
    report = check_block(block)
    assert report.faults == ()
    assert report.smallest_input == 1


@pytest.mark.parametrize("block", [*OPERATIONS.values(), *ATTENTIONS.values()], ids=lambda block: block.__name__)
def test_our_own_blocks_raise_no_alarm(block: type[nn.Module]) -> None:
    report = check_block(block)
    assert report.faults == ()
    assert report.smallest_input == getattr(block, "smallest_input", 1)
    assert set(report.parameters) == {2, 4, 8, 16, 64}


def test_cost_is_what_the_block_has() -> None:
    report = check_block(Good, (4,))
    assert report.parameters == {4: 4 * 4 * 9 + 4}
    assert report.multiply_adds == {4: 4 * 4 * 9}
    assert "148 at 4" in str(report)


def test_by_name_and_by_path() -> None:
    assert check_block("rdb_light", (8,)).faults == ()
    assert check_block("jsnas.operations:RDBSep", (8,)).faults == ()
    with pytest.raises(InputError, match="did you mean 'rdb_light'"):
        check_block("rdb_lite")
    with pytest.raises(InputError, match="cannot be imported"):
        check_block("jsnas.operations:RDBSepp")
