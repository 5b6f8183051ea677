"""A gated edge on a GPU, with gradients, by Triton kernels (``jsnas.fast.gated_edge_kernels``)."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jsnas.branches import reads
from jsnas.fast.once import once_differentiable

_VALUES = 2048  # of a map in a program
MOST_WIDE = 2  # wide gates that the kernels take


@functools.cache
def has_triton(device: torch.device) -> bool:
    """Whether Triton's kernels run on a GPU: torch brings Triton, and Triton needs a C compiler on its first launch."""
    x = torch.ones(1, 1, 2, 2, device=device)
    try:
        GatedEdge.apply(None, x, None, x, *[])  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever it lacks, torch's operations do the same
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(f"Triton does not run on {device}, so searches and trainings are slower: {reason}", stacklevel=2)
        return False
    return True


class GatedEdge(torch.autograd.Function):
    """``apply(total, x, channel, pixel, logits, bias, weight, ...)``: total + x * G, B x C x H x W.

    G = channel + pixel + sum over the wide gates, at most two, of weight * sigmoid(logits + bias). The total, channel
    (B x C x 1 x 1), pixel (B x 1 x H x W), a bias and all weights may be ``None``. It is not to be differentiated
    twice.
    """

    @staticmethod
    def forward(
        ctx: Any, total: Tensor | None, x: Tensor, channel: Tensor | None, pixel: Tensor | None, *wide: Tensor | None
    ) -> Tensor:
        """The sum, of x's type."""
        from jsnas.fast import gated_edge_kernels as kernels  # imports Triton

        reads(total, x, channel, pixel, *wide)
        y = torch.empty_like(x)
        given = [x, channel, pixel, *_both(wide)]
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]  # Triton launches on the current one
            kernels.forward[_grid(x)](
                y, *_pointers([total, *given], x), *_sizes(x), total is not None, *_constants(given)
            )
        ctx.save_for_backward(x, channel, pixel, *wide)
        ctx.has_total = total is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """All gradients."""
        from jsnas.fast import gated_edge_kernels as kernels

        x, channel, pixel, *wide = ctx.saved_tensors
        dy = outputs[0].contiguous(memory_format=torch.channels_last)
        reads(dy, x, channel, pixel, *wide)
        given = [x, channel, pixel, *_both(wide)]
        dx = torch.empty_like(x)
        dpixel = None if pixel is None else torch.empty_like(pixel)
        dlogits = [None if logits is None else torch.empty_like(logits) for logits in (given[3], given[6])]
        tiles, images = _grid(x)
        channels = x.shape[1]
        sums = torch.empty(images, tiles, 3 * channels + 2, dtype=torch.float32, device=x.device)
        rooms = [room if room is not None else x for room in (dpixel, *dlogits)]
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            kernels.backward[tiles, images](dy, *_pointers(given, x), dx, *rooms, sums, *_sizes(x), *_constants(given))
        by_image = sums.sum(1)
        by_weight = by_image.sum(0)
        dchannel = None if channel is None else by_image[:, :channels, None, None]
        gradients: list[Tensor | None] = []
        for k, (bias, dl) in enumerate(zip(wide[1::3], dlogits, strict=False), start=1):
            dbias = None if bias is None else by_weight[k * channels : (k + 1) * channels]
            weight = wide[3 * k - 1]
            gradients += [dl, dbias, None if weight is None else by_weight[3 * channels + k - 1].view_as(weight)]
        return (outputs[0] if ctx.has_total else None), dx, dchannel, dpixel, *gradients


def _both(wide: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Those of two wide gates, ``None`` for what is not there."""
    return [*wide, *[None] * (3 * MOST_WIDE - len(wide))]


def _grid(x: Tensor) -> tuple[int, int]:
    """Tiles of pixels of an image, and images."""
    pixels = x.shape[2] * x.shape[3]
    return -(-pixels // _tile(x)[0]), x.shape[0]


def _tile(x: Tensor) -> tuple[int, int]:
    """Pixels of a program, and its channels; powers of two."""
    channels: int = 1 << (x.shape[1] - 1).bit_length()
    return max(_VALUES // channels, 1), channels


def _sizes(x: Tensor) -> tuple[int, int]:
    return x.shape[2] * x.shape[3], x.shape[1]


def _pointers(given: Sequence[Tensor | None], x: Tensor) -> list[Tensor]:
    """A tensor for each; what is not there is never read."""
    return [x if t is None else t for t in given]


def _constants(given: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """What is there, by the order of the kernels' constants, and the sizes of a program."""
    x, channel, pixel, logits0, bias0, weight0, logits1, bias1, _ = given
    assert x is not None
    wide = (logits0 is not None) + (logits1 is not None)
    has = [t is not None for t in (channel, pixel, bias0, bias1, weight0)]
    return *has[:2], wide, *has[2:], *_tile(x)
