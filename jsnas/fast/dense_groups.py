"""Convolutions in groups as one dense convolution, with zeros between the groups: what a GPU is faster at.

cuDNN computes small groups one by one, or without tensor cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.fast.stand_ins import StandIns

MOST_CHANNELS = 128  # that a dense kernel takes in; beyond, its zeros cost more than the groups


def on_diagonal(blocks: Tensor) -> Tensor:
    """Kernels of n blocks, E x n x p x q x k x k, on the diagonal of one, E x np x nq x k x k in channels-last.

    cuDNN would copy kernels of another layout in every convolution.
    """
    spread = torch.diag_embed(blocks.permute(0, 2, 4, 5, 3, 1), dim1=1, dim2=5)  # E x n x p x k x k x n x q
    return spread.flatten(5, 6).flatten(1, 2).permute(0, 1, 4, 2, 3)


def dense_kernel(kernel: Tensor, groups: int) -> Tensor:
    """The kernel without groups of a convolution in groups: O x I x k x k to O x (groups x I) x k x k."""
    return on_diagonal(kernel.reshape(1, groups, -1, *kernel.shape[1:])).squeeze(0)


def dense_kernels(kernels: Tensor, groups: Sequence[int]) -> list[Tensor]:
    """The same of many convolutions, those of as many groups in one go.

    Args:
        kernels: Of all groups of all convolutions, G x O x I x k x k.
        groups: Of each convolution; the sum is G. Where their channels are more than ``MOST_CHANNELS``, groups stay.

    Returns:
        For each convolution its kernel, (groups x O) x (groups x I) x k x k; with groups (groups x O) x I x k x k.
    """
    parts = torch.split(kernels, list(groups))
    found = [part.flatten(0, 1) for part in parts]
    for count in sorted(set(groups)):
        if count and count * kernels.shape[2] <= MOST_CHANNELS:
            places = [k for k, other in enumerate(groups) if other == count]
            together = on_diagonal(torch.stack([parts[k] for k in places]))
            for k, dense in zip(places, together.unbind(), strict=True):
                found[k] = dense
    return found


def conv_in_groups(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """``F.conv2d``, on a GPU dense.

    Args:
        x: B x C x H x W.
        kernel: O x (C / groups) x k x k.
        bias: O.
        stride: As for ``F.conv2d``.
        padding: The same.
        dilation: The same.
        groups: Of C and O channels.
    """
    if x.is_cuda and groups > 1 and x.shape[1] <= MOST_CHANNELS:
        kernel, groups = dense_kernel(kernel, groups), 1
    return F.conv2d(x, kernel, bias, stride, padding, dilation, groups)


class DenseGroups(StandIns):
    """In a ``with`` block the convolutions of a network that have groups go this way; it stays what it is.

    Args:
        network: With any layers.
    """

    def __init__(self, network: nn.Module) -> None:
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d) and _is_in_groups(m)]
        super().__init__([(layer, "_conv_forward", _forward_of(layer)) for layer in layers])


def _is_in_groups(layer: nn.Conv2d) -> bool:
    """Whether a layer has groups and computes as torch's own; a block's may do something else with its kernel."""
    own = type(layer)._conv_forward is nn.Conv2d._conv_forward
    return own and layer.groups > 1 and layer.padding_mode == "zeros"


def _forward_of(layer: nn.Conv2d) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """What ``nn.Conv2d`` does with its input, weight and bias."""

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv_in_groups(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    return forward
