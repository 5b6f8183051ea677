"""The end of a super-resolution network, fast, with gradients: enlarging and the convolution to the image in one.

Nothing stands between the last 3x3 convolution to s^2 C channels, its pixel shuffle and the 3x3 convolution to the
image, so they are one 5x5 convolution to s^2 values a pixel and image channel (x2, 64 channels: a seventh of the
operations, and no map of s^2 C channels). It sees a row of features beyond the image's edge, where the plain network
pads with zeros; so the outermost pixels are computed by the two.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.network import RestorationNetwork


def composed(up: Tensor, up_bias: Tensor, factor: int, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the one convolution, whose outputs a pixel shuffle puts in place.

    Args:
        up: s^2 C x I x 3 x 3.
        up_bias: s^2 C.
        factor: s.
        weight: O x C x 3 x 3, after the shuffle.
        bias: O.

    Returns:
        s^2 O x I x 5 x 5 and s^2 O.
    """
    impulses = F.pad(up.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))  # what one pixel of each input channel leads to
    level = up_bias[None, :, None, None].expand(-1, -1, 5, 5)
    y = F.pixel_shuffle(torch.cat([impulses, level]), factor)
    y = F.pixel_unshuffle(F.conv2d(y, weight, padding=1), factor)
    return y[:-1].flip(2, 3).transpose(0, 1), y[-1, :, 2, 2] + bias.repeat_interleave(factor**2)


class FastEnd:
    """In a ``with`` block the network ends this way; its modules and their parameters stay what they are.

    Args:
        network: One that ``suits``.
    """

    def __init__(self, network: RestorationNetwork) -> None:
        self.upsample, self.tail = network.upsample, network.tail
        last: Any = list(network.upsample)[-2:]
        self.up: nn.Conv2d = last[0]
        self.factor: int = last[1].upscale_factor

    @staticmethod
    def suits(network: RestorationNetwork) -> bool:
        """Whether the network enlarges, by layers of ours."""
        layers = [*network.upsample, network.tail] if type(network.upsample) is nn.Sequential else []
        kinds = [type(layer) for layer in layers]
        return len(kinds) > 1 and kinds == [nn.Conv2d, nn.PixelShuffle] * (len(kinds) // 2) + [nn.Conv2d]

    def __enter__(self) -> None:
        self.upsample.__dict__["forward"] = self._before
        self.tail.__dict__["forward"] = self

    def __exit__(self, *error: object) -> None:
        del self.upsample.__dict__["forward"], self.tail.__dict__["forward"]

    def _before(self, x: Tensor) -> Tensor:
        """What comes before the two convolutions: for x4 an enlargement."""
        for layer in list(self.upsample)[:-2]:
            x = layer(x)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        """B x C x H x W to the image, B x O x sH x sW."""
        up, factor, tail = self.up, self.factor, self.tail
        assert up.bias is not None and tail.bias is not None
        if min(x.shape[2:]) < 3:
            return F.conv2d(F.pixel_shuffle(up(x), factor), tail.weight, tail.bias, padding=1)
        with torch.autocast(x.device.type, enabled=False):  # kernels keep their digits until they are multiplied
            kernel, bias = composed(
                _precise(up.weight), _precise(up.bias), factor, _precise(tail.weight), _precise(tail.bias)
            )
        y = F.pixel_shuffle(F.conv2d(x, kernel.to(up.weight), bias.to(up.weight), padding=2), factor)
        rows, columns = _Outermost.apply(x)  # type: ignore[no-untyped-call]
        top, bottom = _two_convolutions(rows, up.weight, up.bias, factor, tail.weight, tail.bias)
        turned = (_turned(up.weight, factor).transpose(2, 3), _turned(up.bias, factor))
        sides = _two_convolutions(columns, *turned, factor, tail.weight.transpose(2, 3), tail.bias)
        left, right = (side.transpose(2, 3)[:, :, 1:-1] for side in sides)
        return torch.cat([top, torch.cat([left, y[:, :, 1:-1, 1:-1], right], 3), bottom], 2)


def _two_convolutions(
    rows: Tensor, up: Tensor, up_bias: Tensor, factor: int, weight: Tensor, bias: Tensor
) -> tuple[Tensor, ...]:
    """The image's first row and its last, B x O x 1 x sW each, from what ``_Outermost`` gives."""
    y = F.conv2d(rows, up, up_bias, padding=(0, 1))
    first, last = F.pixel_shuffle(y, factor).chunk(2)
    return F.conv2d(_with_zeros(first[:, :, :2], last[:, :, -2:]), weight, bias, padding=(0, 1)).chunk(2)


def _turned(x: Tensor, factor: int) -> Tensor:
    """The outputs of a convolution before a pixel shuffle in the order that suits a transposed image."""
    return x.view(-1, factor, factor, *x.shape[1:]).transpose(1, 2).flatten(0, 2)


class _Outermost(torch.autograd.Function):
    """The outermost rows, and those of the transposed image: 2B x C x 3 x W and 2B x C x 3 x H.

    First come the zeros beyond the image and two rows, then the last two and zeros. As slices each of the four would
    have a gradient as large as x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.like = torch.empty_like(x, device="meta")
        turned = x.transpose(2, 3)
        return _with_zeros(x[:, :, :2], x[:, :, -2:]), _with_zeros(turned[:, :, :2], turned[:, :, -2:])

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Tensor:
        dx = torch.zeros_like(ctx.like, dtype=outputs[0].dtype, device=outputs[0].device)
        for view, dy in zip((dx, dx.transpose(2, 3)), outputs, strict=True):
            first, last = dy.chunk(2)
            view[:, :, :2] += first[:, :, 1:]
            view[:, :, -2:] += last[:, :, :2]
        return dx


def _with_zeros(first: Tensor, last: Tensor) -> Tensor:
    both = torch.cat([F.pad(first, (0, 0, 1, 0)), F.pad(last, (0, 0, 0, 1))])
    return both.contiguous(memory_format=torch.channels_last)


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
