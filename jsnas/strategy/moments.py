"""Moments of an optimizer as its parameters lie: a state may come from where their layout was another."""

from __future__ import annotations

import torch


def lay_out_moments(optimizer: torch.optim.Optimizer) -> None:
    """Gives every tensor of an optimizer's state that is of its parameter's shape the parameter's strides.

    A fused step takes them for granted: on a CPU it would go by memory and give a weight the moments of another, on a
    GPU it refuses. A search that learnt on a GPU at mixed precision has channels-last weights; on a CPU it has not.

    Args:
        optimizer: With its state loaded, and its parameters in the layout that they learn in.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
