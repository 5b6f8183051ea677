"""Candidate attentions of the attention search space (paper, Table 1).

Every attention is ``x * gate(x)``. The gate stands on its own because a mixture of attentions is then one
product, ``x * sum(mu_k * gate_k(x))``, instead of one per candidate (Eq. 9). Shapes: x is B x C x H x W; a
gate is anything that broadcasts to it.

To add one: subclass ``Attention``, write ``__init__(self, channels)`` and ``gate(x)``, and give it a line in
``ATTENTIONS``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Attention(nn.Module):
    """Base of all attentions: the input times a gate.

    Attributes:
        smallest_input: Smallest side, in pixels, that the gate can take.
    """

    smallest_input = 1

    def gate(self, x: Tensor) -> Tensor:
        """What each value of x (B x C x H x W) is multiplied by."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        return x * self.gate(x)


class SkipAttention(Attention):
    """``skip``: a gate of one."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def gate(self, x: Tensor) -> Tensor:
        """1 x 1 x 1 x 1 of ones."""
        return x.new_ones(1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The input, unchanged."""
        return x


class ChannelAttention(Attention):
    """``ca``: channel attention of RCAN (Zhang et al., ECCV 2018), its two convolutions weight-normalised."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = weight_norm(nn.Conv2d(channels, hidden, 1))
        self.excite = weight_norm(nn.Conv2d(hidden, channels, 1))

    def gate(self, x: Tensor) -> Tensor:
        """B x C x 1 x 1 in (0, 1)."""
        y = x.mean((2, 3), keepdim=True)
        return torch.sigmoid(self.excite(F.relu(self.squeeze(y))))


class ContrastChannelAttention(Attention):
    """``cca``: contrast-aware channel attention of IMDN (Hui et al., ACM MM 2019)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        """B x C x 1 x 1 in (0, 1)."""
        mean = x.mean((2, 3), keepdim=True)
        variance = (x - mean).square().mean((2, 3), keepdim=True)
        contrast = variance.clamp_min(1e-12).sqrt()  # the root's slope at 0 is infinite; a flat channel gets none
        return torch.sigmoid(self.excite(F.relu(self.squeeze(contrast + mean))))


class PixelAttention(Attention):
    """``pa``: pixel attention after PAN (Zhao et al., ECCV 2020), C to C/8 to 2 to 1 maps as released."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1)
        )

    def gate(self, x: Tensor) -> Tensor:
        """B x 1 x H x W in (0, 1)."""
        return torch.sigmoid(self.layers(x))


class CostEffectiveAttention(Attention):
    """``cea``: cost-effective attention of MAFFSRN (Muqeet et al., ECCVW 2020)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = next(h for h in range(max(channels // reduction, 1), 0, -1) if channels % h == 0)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 3, padding=1, groups=hidden, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """B x C x H x W in (0, 1)."""
        return torch.sigmoid(self.expand(self.squeeze(x)))


class SpatialAttention(Attention):
    """``sa``: spatial attention of CBAM (Woo et al., ECCV 2018) with a 5x5 kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 5, padding=2)

    def gate(self, x: Tensor) -> Tensor:
        """B x 1 x H x W in (0, 1)."""
        y = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)  # B x 2 x H x W
        return torch.sigmoid(self.conv(y))


class EnhancedSpatialAttention(Attention):
    """``esa``: enhanced spatial attention of RFANet (Liu et al., CVPR 2020), with f = C/8 features."""

    smallest_input = 15  # 15 -> 7 (stride 2, no padding) -> 1 (pooling of 7)

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        f = max(channels // reduction, 1)
        self.squeeze = nn.Conv2d(channels, f, 1)
        self.stride = nn.Conv2d(f, f, 3, stride=2)
        self.convs = nn.Sequential(
            nn.Conv2d(f, f, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(f, f, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(f, f, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(f, f, 1)
        self.expand = nn.Conv2d(f, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        """B x C x H x W in (0, 1)."""
        narrow = self.squeeze(x)  # B x f x H x W
        y = F.max_pool2d(self.stride(narrow), 7, 3)  # a view of about 1/6 of the side
        y = F.interpolate(self.convs(y), x.shape[-2:], mode="bilinear", align_corners=False)
        return torch.sigmoid(self.expand(y + self.shortcut(narrow)))


ATTENTIONS: dict[str, type[nn.Module]] = {
    "skip": SkipAttention,
    "ca": ChannelAttention,
    "cca": ContrastChannelAttention,
    "pa": PixelAttention,
    "cea": CostEffectiveAttention,
    "sa": SpatialAttention,
    "esa": EnhancedSpatialAttention,
}
