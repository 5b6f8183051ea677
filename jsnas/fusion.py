"""Cross-scale fusion module, CSFM (paper, Fig. 4b and Eq. 12): a butterfly of pixel and channel attentions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jsnas.attentions import ChannelAttention


class PixelAttentionConv(nn.Module):
    """PA of PAN (Zhao et al., ECCV 2020): a k x k convolution without bias, gated by a 1x1 convolution."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        y: Tensor = self.conv(x) * torch.sigmoid(self.gate(x))
        return y


class CrossScaleFusion(nn.Module):
    """CSFM: halves the channels and mixes two branches.

    Args:
        channels: Channels of the input; the output has half of them.
        kernels: Kernel sides of PA_up and PA_down, odd. The paper writes (5, 3), the released weights and the
            paper's parameter counts have (3, 3); Table 5 compares (3, 3), (5, 5) and (5, 3).
    """

    def __init__(self, channels: int, kernels: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = nn.Conv2d(channels, half, 1)
        self.pa_up = PixelAttentionConv(half, kernels[0])
        self.pa_down = PixelAttentionConv(half, kernels[1])
        self.ca_up1 = ChannelAttention(half, reduction=16)
        self.ca_down1 = ChannelAttention(half, reduction=16)
        self.ca_up2 = ChannelAttention(half, reduction=16)
        self.ca_down2 = ChannelAttention(half, reduction=16)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to B x C/2 x H x W."""
        return self.mix(self.reduce(x))

    def mix(self, x: Tensor) -> Tensor:
        """What follows the halving, B x C/2 x H x W to the same shape; the names are those of Eq. 12."""
        pa_up = self.pa_up(x)
        x1_up = pa_up + self.ca_down1(x)
        x1_down = self.ca_up1(pa_up) + x
        pa_down = self.pa_down(x1_down)
        x2_up = self.ca_down2(pa_down) + x1_up
        x2_down = self.ca_up2(x1_up) + pa_down
        y: Tensor = x2_up + x2_down
        return y
