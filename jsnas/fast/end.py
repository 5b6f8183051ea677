"""The end of a network, fast, with gradients: convolutions with nothing between them are made one.

* The 1x1 convolution that gathers the modules and that of the cross-scale fusion, which halves the channels, are one of
  half the size for each module, and nothing is concatenated.
* The last 3x3 convolution to s^2 C channels, its pixel shuffle and the 3x3 convolution to the image are one 5x5
  convolution to s^2 values a pixel and image channel (x2, 32 channels: a quarter of the operations, and no map of s^2 C
  channels). It sees a row of features beyond the image's edge, where the plain network pads with zeros; so the
  outermost pixels are computed by the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.fast.stand_ins import StandIns
from jsnas.fusion import CrossScaleFusion
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


class FastEnd(StandIns):
    """In a ``with`` block the network ends this way; its modules and their parameters stay what they are.

    Args:
        network: The network; of layers that are not ours it keeps their own way.
    """

    def __init__(self, network: RestorationNetwork) -> None:
        fast: list[tuple[nn.Module, str, Callable[..., Tensor]]] = []
        fusion, upsample = network.fusion, network.upsample
        layers: list[Any] = [*upsample, network.tail] if type(upsample) is nn.Sequential else []
        if type(fusion) is CrossScaleFusion and type(network.gather) is type(fusion.reduce) is nn.Conv2d:
            fast.append((network, "fuse", _Fuse(network.gather, fusion)))
        pairs = [nn.Conv2d, nn.PixelShuffle] * (len(layers) // 2)
        if pairs and [type(layer) for layer in layers] == [*pairs, nn.Conv2d]:
            up, shuffle, tail = layers[-3:]
            fast.append((upsample, "forward", nn.Sequential(*layers[:-3])))
            fast.append((tail, "forward", _EnlargeToImage(up, shuffle.upscale_factor, tail)))
        super().__init__(fast)


class _Fuse:
    """``RestorationNetwork.fuse``."""

    def __init__(self, gather: nn.Conv2d, fusion: CrossScaleFusion) -> None:
        self.gather, self.fusion = gather, fusion

    def __call__(self, features: Sequence[Tensor]) -> Tensor:
        gather, reduce = self.gather, self.fusion.reduce
        assert gather.bias is not None and reduce.bias is not None
        with torch.autocast(features[0].device.type, enabled=False):  # kernels keep their digits until they are one
            halving = _precise(reduce.weight[:, :, 0, 0])
            bias = halving @ _precise(gather.bias) + _precise(reduce.bias)
            kernel = (halving @ _precise(gather.weight[:, :, 0, 0])).to(reduce.weight)[:, :, None, None]
        y = F.conv2d(features[0], reduce.weight, bias.to(reduce.weight), dilation=gather.dilation)
        for x, of_x in zip(features[1:], torch.split(kernel, len(gather.weight), 1), strict=True):
            y = y.add_(F.conv2d(x, of_x, dilation=gather.dilation))
        return self.fusion.mix(y)


class _EnlargeToImage:
    """What comes after the last 3x3 convolution and pixel shuffle but for the shift of the mean, and these two."""

    def __init__(self, up: nn.Conv2d, factor: int, tail: nn.Conv2d) -> None:
        self.up, self.factor, self.tail = up, factor, tail

    def __call__(self, x: Tensor) -> Tensor:
        """B x C x H x W to the image, B x O x sH x sW."""
        up, factor, tail = self.up, self.factor, self.tail
        assert up.bias is not None and tail.bias is not None
        if min(x.shape[2:]) < 3:
            return F.conv2d(F.pixel_shuffle(up(x), factor), tail.weight, tail.bias, padding=1)
        with torch.autocast(x.device.type, enabled=False):  # see above
            kernel, bias = composed(
                _precise(up.weight), _precise(up.bias), factor, _precise(tail.weight), _precise(tail.bias)
            )
        y = F.pixel_shuffle(F.conv2d(x, kernel.to(up.weight), bias.to(up.weight), padding=2), factor)
        rows, columns = _Outermost.apply(x)  # type: ignore[no-untyped-call]
        top, bottom = _two_convolutions(rows, up.weight, up.bias, factor, tail.weight, tail.bias)
        other_way = (turned(up.weight, factor).transpose(2, 3), turned(up.bias, factor))
        sides = _two_convolutions(columns, *other_way, factor, tail.weight.transpose(2, 3), tail.bias)
        left, right = (side.transpose(2, 3)[:, :, 1:-1] for side in sides)
        return torch.cat([top, torch.cat([left, y[:, :, 1:-1, 1:-1], right], 3), bottom], 2)


def _two_convolutions(
    rows: Tensor, up: Tensor, up_bias: Tensor, factor: int, weight: Tensor, bias: Tensor
) -> tuple[Tensor, ...]:
    """The image's first row and its last, B x O x 1 x sW each, from what ``_Outermost`` gives."""
    y = F.conv2d(rows, up, up_bias, padding=(0, 1))
    first, last = F.pixel_shuffle(y, factor).chunk(2)
    return F.conv2d(_with_zeros(first[:, :, :2], last[:, :, -2:]), weight, bias, padding=(0, 1)).chunk(2)


def turned(x: Tensor, factor: int) -> Tensor:
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
