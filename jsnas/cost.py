"""What a network costs: parameters and multiply-adds.

Multiply-adds are half the floating-point operations that torch's own counter finds in convolutions and matrix
products; pooling, resizing and elementwise work are not counted, as in the papers that print such figures.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jsnas.errors import InputError
from jsnas.network import JSNet

PAPER_SIZE = (720, 1280)  # output H x W of Table 7


@dataclass(frozen=True)
class Cost:
    """Cost of one network.

    Attributes:
        parameters: Trainable parameters.
        multiply_adds: For one image.
        output_size: Height and width of that image's restored version, in pixels.
        input_size: Height and width of the image itself.
    """

    parameters: int
    multiply_adds: int
    output_size: tuple[int, int]
    input_size: tuple[int, int]

    def __str__(self) -> str:
        height, width = self.output_size
        return (
            f"{self.parameters:,} parameters, {self.multiply_adds / 1e9:.1f} G multiply-adds "
            f"for a {width}x{height} output"
        )


def cost_of(network: JSNet, output_size: tuple[int, int] = PAPER_SIZE) -> Cost:
    """Counts a network's parameters and its multiply-adds for an output of a size.

    Nothing is computed: the network runs on shapes alone.

    Args:
        network: The network; it is left as it is.
        output_size: Height and width in pixels; the input is that over the scale, rounded down.

    Raises:
        InputError: If the size is below what the network takes.
    """
    scale, channels = network.settings.scale, network.settings.image_channels
    height, width = (side // scale for side in output_size)
    if min(height, width) < network.smallest_input:
        raise InputError(
            f"An output of {output_size[1]}x{output_size[0]} pixels comes from an input of {width}x{height}; the "
            f"smallest side this network takes is {network.smallest_input}."
        )
    x = torch.empty(1, channels, height, width, device="meta")
    counted = (height * scale, width * scale)
    return Cost(
        parameters_of(network), multiply_adds_of(copy.deepcopy(network).to("meta"), x), counted, (height, width)
    )


def multiply_adds_of(module: nn.Module, x: Tensor) -> int:
    """Multiply-adds of a module for an input, half of torch's count: convolutions and products of matrices."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return int(counter.get_total_flops()) // 2


def parameters_of(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
