"""The tile network as an ONNX file: ``x``, ``place``, ``size``, ``statistics`` to ``y`` and ``shares``."""

from __future__ import annotations

import torch
from torch.export import Dim

from jsnas.network import JSNet
from jsnas.onnx_form import need, program_bytes
from jsnas.portable import LARGEST_BATCH, LARGEST_SIDE, free_sizes, smallest_side
from jsnas.tiles.network import TileNetwork


def tile_onnx_bytes(tiles: TileNetwork, network: JSNet) -> bytes:
    """An ONNX file that computes what ``TileNetwork.forward`` does, for tiles of any size and number.

    Args:
        tiles: The tile network, on the CPU.
        network: The network it was made of.

    Raises:
        InputError: If the extra ``onnx`` is missing.
    """
    need("onnx", "onnxscript")
    smallest = smallest_side(network)
    height, width = smallest + 25, smallest + 38
    examples = (
        torch.zeros(2, network.settings.image_channels, height, width),
        torch.tensor([[0.0, 0.0, 0.0, height, 0.0, width]] * 2),
        torch.tensor([float(height), float(width)]),
        torch.zeros(tiles.statistics),
    )
    batch = Dim("batch", min=1, max=LARGEST_BATCH)
    sides = {2: Dim("height", min=smallest, max=LARGEST_SIDE), 3: Dim("width", min=smallest, max=LARGEST_SIDE)}
    with free_sizes(), torch.no_grad():
        program = torch.export.export(tiles, examples, dynamic_shapes=({0: batch, **sides}, {0: batch}, None, None))
    return program_bytes(program, {}, ("x", "place", "size", "statistics"), ("y", "shares"))
