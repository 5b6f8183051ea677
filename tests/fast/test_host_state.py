"""What a recording would not see is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from jsnas.fast.host_state import HostState


class Counted(nn.Module):
    """A module with one buffer."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def replace(self) -> None:
        self.mean = 0.9 * self.mean + 0.1

    def change(self) -> None:
        self.mean.mul_(0.9).add_(0.1)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda module: random.random(), "Python's random numbers"),
        (lambda module: np.random.rand(), "NumPy's random numbers"),
        (lambda module: torch.rand(1), "torch's random numbers"),
        (lambda module: module.replace(), "the buffer mean"),
    ],
)
def test_a_change_on_the_host_is_told(step: Callable[[Counted], object], words: str) -> None:
    module = Counted()
    before = HostState(module)
    step(module)
    assert words in str(before.changed())


def test_what_a_recording_holds_is_no_change() -> None:
    module = Counted()
    before = HostState(module)
    module.change()
    torch.rand(1, generator=torch.Generator().manual_seed(0))
    nn.Linear(2, 2, device="meta")
    assert before.changed() is None
