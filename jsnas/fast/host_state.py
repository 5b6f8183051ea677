"""What a step changes on the host, where a recording of its operations on a GPU does not see it."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn


class HostState:
    """The random numbers of the host, and the places of a module's buffers, at one time.

    Args:
        module: Its buffers are looked at.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._random = random.getstate()
        self._numpy = np.random.get_state(legacy=False)["state"]
        self._torch = torch.get_rng_state()
        self._buffers = _places(module)

    def changed(self) -> str | None:
        """What is not as it was, in words, or ``None``: the first of what is found."""
        if random.getstate() != self._random:
            return "it draws from Python's random numbers"
        numpy = np.random.get_state(legacy=False)["state"]
        if any(not np.array_equal(numpy[name], value) for name, value in self._numpy.items()):
            return "it draws from NumPy's random numbers"
        if not torch.equal(torch.get_rng_state(), self._torch):
            return "it draws from torch's random numbers of the CPU"
        places = _places(self._module)
        moved = next((name for name, place in places.items() if self._buffers.get(name) != place), None)
        return None if moved is None else f"it puts another tensor in the place of the buffer {moved}"


def _places(module: nn.Module) -> dict[str, int]:
    return {name: buffer.data_ptr() for name, buffer in module.named_buffers()}
