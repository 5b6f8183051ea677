"""Other ways to make low-resolution images, which are mixed up with MATLAB's bicubic in practice.

They serve to find out how a reported figure came about; nothing is trained or scored with them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from jsnas.data.images import Pixels


def bicubic_without_antialiasing(hq: Pixels, scale: int) -> Pixels:
    """Cubic interpolation at the new grid, a = -0.75, as ``cv2.INTER_CUBIC`` and torch's ``interpolate`` do it."""
    x = torch.from_numpy(hq.transpose(2, 0, 1).astype(np.float32))[None]
    size = (hq.shape[0] // scale, hq.shape[1] // scale)
    y = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=False)
    return y.clamp(0, 255).round().to(torch.uint8)[0].permute(1, 2, 0).contiguous().numpy()


def pillow(method: Image.Resampling) -> Callable[[Pixels, int], Pixels]:
    """Pillow's own ``resize``: columns first, and the kernel cut off at the border."""

    def resize(hq: Pixels, scale: int) -> Pixels:
        picture = Image.fromarray(hq[..., 0] if hq.shape[2] == 1 else hq)
        small = picture.resize((hq.shape[1] // scale, hq.shape[0] // scale), method)
        return np.array(small).reshape(hq.shape[0] // scale, hq.shape[1] // scale, hq.shape[2])

    return resize


# Name to function (uint8 H x W x C, scale) -> uint8 H/scale x W/scale x C; both sides divide by the scale.
OTHER_RESIZERS: dict[str, Callable[[Pixels, int], Pixels]] = {
    "LR by bicubic without anti-aliasing (cv2, torch)": bicubic_without_antialiasing,
    "LR by Pillow's bicubic": pillow(Image.Resampling.BICUBIC),
    "LR by bilinear with anti-aliasing (Pillow)": pillow(Image.Resampling.BILINEAR),
    "LR by area averaging": pillow(Image.Resampling.BOX),
    "LR by Lanczos (Pillow)": pillow(Image.Resampling.LANCZOS),
    "LR by nearest neighbour": pillow(Image.Resampling.NEAREST),
}
