"""The fast form of a network for inference: the same function, in fewer and smaller steps.

``jsnas.network`` defines what a JSNet computes; this folder rewrites it for speed. Convolutions are merged where
algebra allows (``blocks``, ``ends``), and on a CPU the image goes through the network some rows at a time (``rows``),
which also bounds the memory of a large one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.fast.end import turned
from jsnas.fast.inference.blocks import Builder, Sum, after
from jsnas.fast.inference.convolution_sum import Convolution
from jsnas.fast.inference.ends import Enlarge, EnlargeToImage, Shift, fusion
from jsnas.fast.inference.rows import Program
from jsnas.fusion import CrossScaleFusion
from jsnas.network import JSNet, check_side, strange_blocks

WHOLE_PIXELS = 3 << 17  # up to these an image goes in one piece, which is faster, and takes less memory than chunks do
CHUNK_PIXELS = 65536  # of a map; its 64 channels of float32 are 16 MiB
THRIFTY_PIXELS = 16384  # the same where memory counts more
GPU_PIXELS = 1 << 22  # the same on other devices: 1 GiB, so most images go in one piece
LARGE_IMAGE = 1 << 20  # input pixels from which memory counts more than computing the fusion's maps twice


class FastNetwork(nn.Module):
    """A fast copy of a JSNet's function; made by ``fast_network``.

    Attributes:
        settings: The network's.
        genotype: The network's.
        metadata: The network's.
        smallest_input: The network's.
    """

    def __init__(self, network: JSNet) -> None:
        super().__init__()
        self.settings = network.settings
        self.genotype = network.genotype
        self.metadata = dict(network.metadata)
        self.smallest_input = network.smallest_input
        self.kept = _program(network, recompute=False)
        self.thrifty = _program(network, recompute=True)
        transposed = _transposed(network)
        self.columns = None if transposed is None else _program(transposed, recompute=True)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Restores images: B x C x H x W float in [0, 255] to B x C x sH x sW, not clipped; without gradients.

        Raises:
            InputError: If the shape does not fit or a side is below ``smallest_input``.
        """
        self._check(x)
        scale = self.settings.scale
        y: Tensor | None = None
        for k in range(x.shape[0]) if x.device.type == "cpu" else [slice(None)]:
            image = x[k : k + 1] if isinstance(k, int) else x

            def write(row: int, chunk: Tensor, k: int | slice = k) -> None:
                nonlocal y
                if chunk.shape[0] == x.shape[0] and chunk.shape[2] == scale * x.shape[2]:
                    y = chunk  # all of it
                    return
                if y is None:
                    shape = (x.shape[0], chunk.shape[1], scale * x.shape[2], scale * x.shape[3])
                    y = chunk.new_empty(shape).contiguous(memory_format=torch.channels_last)
                y[k : k + 1 if isinstance(k, int) else None, :, row : row + chunk.shape[2]] = chunk

            self.by_rows(image, write)
        assert y is not None
        return y

    @torch.no_grad()
    def by_rows(self, x: Tensor, write: Callable[[int, Tensor], None], rows: int | None = None) -> None:
        """Restores images and hands out the result from top to bottom, so that it need not be held as a whole.

        Args:
            x: B x C x H x W in [0, 255], uint8 or float.
            write: Called with the first row and the next rows of the result.
            rows: Rows of the input at a time; by default what suits the cache of a CPU or the memory of a GPU.

        Raises:
            InputError: If the shape does not fit or a side is below ``smallest_input``.
        """
        self._check(x)
        height, width = x.shape[2:]
        quantum = 1
        if rows is None:
            if x.device.type != "cpu":
                rows = max(GPU_PIXELS // width, 1)
            elif height * width <= WHOLE_PIXELS:
                rows = height
            else:
                rows = max((CHUNK_PIXELS if height * width < LARGE_IMAGE else THRIFTY_PIXELS) // width, 4)
                if height > rows >= 8 and height * width < LARGE_IMAGE:
                    quantum, rows = 8, rows // 8 * 8
        program = self.kept if height * width < LARGE_IMAGE else self.thrifty
        program.run(x, min(rows, height), quantum, write)

    @torch.no_grad()
    def by_columns(self, x: Tensor, write: Callable[[int, Tensor], None], columns: int | None = None) -> None:
        """As ``by_rows``, from left to right: memory grows with the side that a strip runs along.

        Args:
            x: B x C x H x W in [0, 255], uint8 or float.
            write: Called with the first column and the next columns of the result.
            columns: Columns of the input at a time.

        Raises:
            InputError: If the shape does not fit, or the network has blocks that are not ours.
        """
        self._check(x)
        if self.columns is None:
            raise InputError("This network has blocks of somebody else's, which cannot be turned; go by rows.")
        height, width = x.shape[2:]
        if columns is None:
            columns = max((THRIFTY_PIXELS if x.device.type == "cpu" else GPU_PIXELS) // height, 4)
        self.columns.run(
            x.transpose(2, 3), min(columns, width), 1, lambda row, chunk: write(row, chunk.transpose(2, 3))
        )

    def _check(self, x: Tensor) -> None:
        channels = self.settings.image_channels
        if x.dim() != 4 or x.shape[1] != channels or not x.shape[0]:
            raise InputError(
                f"An input of shape {tuple(x.shape)} was given; this network takes B x {channels} x H x W."
            )
        check_side(x.shape[2], x.shape[3], self.smallest_input)


def fast_network(network: JSNet) -> FastNetwork:
    """The fast form of a network for inference, equal to it to float rounding.

    It holds its own copy of the weights, on their device, as they are now. Blocks that are not ours are called as they
    are, in evaluation mode, on whole maps.

    Args:
        network: The network; it is left as it is.
    """
    return FastNetwork(network)


def _transposed(network: JSNet) -> JSNet | None:
    """The network of transposed images: every kernel transposed; ``None`` if a block is not ours to turn."""
    if strange_blocks(network):
        return None
    transposed = copy.deepcopy(network)
    for conv in transposed.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
            conv.weight.data = conv.weight.data.transpose(2, 3)
    layers = list(transposed.upsample)
    for conv, shuffle in zip(layers[::2], layers[1::2], strict=True):
        assert isinstance(conv, nn.Conv2d) and isinstance(shuffle, nn.PixelShuffle) and conv.bias is not None
        conv.weight.data, conv.bias.data = (turned(p.data, shuffle.upscale_factor) for p in (conv.weight, conv.bias))
    return transposed


def _program(network: JSNet, recompute: bool) -> Program:
    build = Builder()
    shifted = build.new()
    build.steps.append(Shift(network.subtract_mean, shifted))
    x = head = build.convolution(shifted, network.head)

    # The gathering 1x1 convolution is summed up module by module; that of the fusion goes into it.
    gather, csfm = network.gather.weight.detach(), network.fusion
    channels = network.settings.channels
    made = Sum([Convolution(head, torch.eye(channels).to(gather)[:, :, None, None])], network.gather.bias)
    if type(csfm) is CrossScaleFusion:
        reduce = csfm.reduce.weight.detach()
        assert made.bias is not None
        made = Sum([Convolution(head, reduce)], reduce[:, :, 0, 0] @ made.bias.detach())
        made.add_bias(csfm.reduce.bias)
        gather = after(reduce, gather)
    for module, kernel in zip(network.body, torch.split(gather, channels, 1), strict=True):
        x = build.joint_module(x, module)
        made.terms.append(Convolution(x, kernel))
        made = Sum(plain=[build.sum(made)])
    x = made.plain[0]
    whole = [x] if recompute and type(csfm) is CrossScaleFusion else []
    if type(csfm) is CrossScaleFusion:
        x = fusion(build, x, csfm, recompute)
    elif type(csfm) is not nn.Identity:
        x = build.whole([x], csfm)

    # The mean that is added in the end goes into the last convolution.
    shift, tail = network.add_mean, network.tail
    assert tail.bias is not None
    weight = torch.einsum("om,mikl->oikl", shift.weight[:, :, 0, 0].double(), tail.weight.detach().double())
    bias = shift.weight[:, :, 0, 0].double() @ tail.bias.detach().double() + shift.bias.double()
    weight, bias = weight.to(tail.weight.dtype), bias.to(tail.weight.dtype)
    layers = list(network.upsample)
    for position in range(0, len(layers), 2):
        conv, shuffle, output = layers[position], layers[position + 1], build.new()
        assert isinstance(conv, nn.Conv2d) and isinstance(shuffle, nn.PixelShuffle)
        if position == len(layers) - 2:
            build.steps.append(EnlargeToImage(x, conv, shuffle.upscale_factor, weight, bias, output))
        else:
            build.steps.append(Enlarge(x, conv, shuffle.upscale_factor, output))
        x = output
    if not layers:
        x = build.sum(Sum([Convolution(x, weight)], bias))
    return Program(build.steps, build.streams, x, whole)
