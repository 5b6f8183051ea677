"""The network as ``torch.export`` traces it, with free height, width and batch.

The copy computes the same: weight normalisation is worked into plain weights, and the checks of the input, which are
for people, stay behind. ESA's pooled map has one row for an image below 21 pixels, so sizes of one must not be treated
as a case of their own while tracing; that is torch's ``backed_size_oblivious``.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager

import torch
import torch.fx.experimental._config as symbolic_shapes
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils import parametrize

from jsnas.errors import InputError
from jsnas.network import JSNet, RestorationNetwork

LARGEST_SIDE = 1 << 15  # pixels that an exported program promises to take
LARGEST_BATCH = 1 << 10


class Portable(nn.Module):
    """The function of a network and nothing else; made by ``portable``."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W float32 in [0, 255] to B x C x sH x sW, not clipped."""
        return RestorationNetwork.forward(self.network, x)


def portable(network: JSNet) -> Portable:
    """A copy of a network in evaluation mode whose convolutions have plain weights.

    Args:
        network: The network; it is left as it is.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and parametrize.is_parametrized(child):
                setattr(parent, name, _plain(child))
    return Portable(copied).eval()


def smallest_side(network: JSNet) -> int:
    """The smallest side that an exported program promises to take; torch.export cannot promise 1."""
    return max(network.smallest_input, 2)


def export_program(model: Portable, smallest: int) -> ExportedProgram:
    """Traces a network for every batch and every size from ``smallest`` on.

    Args:
        model: Of ``portable``, or one that computes in other numbers.
        smallest: Smallest side, at least 2.

    Raises:
        InputError: If torch.export cannot follow the network, which only a block of somebody's own can bring about.
    """
    example = torch.zeros(2, model.network.settings.image_channels, smallest + 25, smallest + 38)
    example = example.to(next(model.parameters()).device)
    dims = {
        0: Dim("batch", min=1, max=LARGEST_BATCH),
        2: Dim("height", min=smallest, max=LARGEST_SIDE),
        3: Dim("width", min=smallest, max=LARGEST_SIDE),
    }
    try:
        with free_sizes(), torch.no_grad():
            return torch.export.export(model, (example,), dynamic_shapes=(dims,))
    except Exception as error:  # whatever a block of somebody's own brings about
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"torch.export cannot follow this network with free sizes ({first}); export .py or .safetensors instead."
        ) from error


def free_sizes() -> AbstractContextManager[None]:
    """While it lasts, torch traces sizes as free ones, those of one included."""
    patched: AbstractContextManager[None] = symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    return patched


def _plain(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution with its normalised weight as a plain one."""
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        conv.groups,
        conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        plain.weight.copy_(conv.weight)
        if conv.bias is not None and plain.bias is not None:
            plain.bias.copy_(conv.bias)
    return plain.requires_grad_(False)
