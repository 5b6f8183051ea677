"""Triton kernels of one gated edge: y = total + x * G and its gradients, every map read and written once.

    G = t_channel + t_pixel + sum_k w_k * sigmoid(l_k + b_k),   w_k = 1 where gates are not WEIGHTED

Maps are channels-last; a program has P pixels of one image, all channels. What is left out is told by constants, and
its pointer is never read. Triton comes with torch where there is a GPU; this module is imported there alone.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def _sigmoid(
    logits: tl.tensor,
    bias: tl.tensor,
    at: tl.tensor,
    c: tl.tensor,
    inside: tl.tensor,
    C: tl.tensor,
    HAS_BIAS: tl.constexpr,
) -> tl.tensor:
    value = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    return 1 / (1 + tl.exp(-value))


@triton.jit  # type: ignore[untyped-decorator]
def _weight(weight: tl.tensor, WEIGHTED: tl.constexpr) -> tl.tensor:
    value = 1.0
    if WEIGHTED:
        value = tl.load(weight).to(tl.float32)
    return value


@triton.jit  # type: ignore[untyped-decorator]
def _thin(
    channel: tl.tensor,
    pixel: tl.tensor,
    image: tl.tensor,
    p: tl.tensor,
    c: tl.tensor,
    HW: tl.tensor,
    C: tl.tensor,
    HAS_CHANNEL: tl.constexpr,
    HAS_PIXEL: tl.constexpr,
    P: tl.constexpr,
    BLOCK_C: tl.constexpr,
) -> tl.tensor:
    gate = tl.zeros([P, BLOCK_C], tl.float32)
    if HAS_CHANNEL:
        gate += tl.load(channel + image * C + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    if HAS_PIXEL:
        gate += tl.load(pixel + image * HW + p, mask=p < HW, other=0.0).to(tl.float32)[:, None]
    return gate


@triton.jit(do_not_specialize_on_alignment=["weight0", "weight1"])  # type: ignore[untyped-decorator]
def forward(
    y: tl.tensor,
    total: tl.tensor,
    x: tl.tensor,
    channel: tl.tensor,
    pixel: tl.tensor,
    logits0: tl.tensor,
    bias0: tl.tensor,
    weight0: tl.tensor,
    logits1: tl.tensor,
    bias1: tl.tensor,
    weight1: tl.tensor,
    HW: tl.tensor,
    C: tl.tensor,
    HAS_TOTAL: tl.constexpr,
    HAS_CHANNEL: tl.constexpr,
    HAS_PIXEL: tl.constexpr,
    WIDE: tl.constexpr,
    HAS_BIAS0: tl.constexpr,
    HAS_BIAS1: tl.constexpr,
    WEIGHTED: tl.constexpr,
    P: tl.constexpr,
    BLOCK_C: tl.constexpr,
) -> None:
    """Writes y."""
    image = tl.program_id(1).to(tl.int64)
    p, c = tl.program_id(0) * P + tl.arange(0, P), tl.arange(0, BLOCK_C)
    inside = (p < HW)[:, None] & (c < C)[None, :]
    at = (image * HW + p)[:, None] * C + c[None, :]
    gate = _thin(channel, pixel, image, p, c, HW, C, HAS_CHANNEL, HAS_PIXEL, P, BLOCK_C)
    if WIDE > 0:
        gate += _weight(weight0, WEIGHTED) * _sigmoid(logits0, bias0, at, c, inside, C, HAS_BIAS0)
    if WIDE > 1:
        gate += _weight(weight1, WEIGHTED) * _sigmoid(logits1, bias1, at, c, inside, C, HAS_BIAS1)
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * gate
    if HAS_TOTAL:
        value += tl.load(total + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + at, value, mask=inside)


@triton.jit(do_not_specialize_on_alignment=["weight0", "weight1"])  # type: ignore[untyped-decorator]
def backward(
    dy: tl.tensor,
    x: tl.tensor,
    channel: tl.tensor,
    pixel: tl.tensor,
    logits0: tl.tensor,
    bias0: tl.tensor,
    weight0: tl.tensor,
    logits1: tl.tensor,
    bias1: tl.tensor,
    weight1: tl.tensor,
    dx: tl.tensor,
    dpixel: tl.tensor,
    dlogits0: tl.tensor,
    dlogits1: tl.tensor,
    sums: tl.tensor,
    HW: tl.tensor,
    C: tl.tensor,
    HAS_CHANNEL: tl.constexpr,
    HAS_PIXEL: tl.constexpr,
    WIDE: tl.constexpr,
    HAS_BIAS0: tl.constexpr,
    HAS_BIAS1: tl.constexpr,
    WEIGHTED: tl.constexpr,
    P: tl.constexpr,
    BLOCK_C: tl.constexpr,
) -> None:
    """Writes dx, dpixel and dlogits, and this program's row of sums.

    A row has 3C + 2 values, of which those that belong to something are written: the channels' gradient, the two
    biases', the two weights'.
    """
    image, tile = tl.program_id(1).to(tl.int64), tl.program_id(0)
    p, c = tile * P + tl.arange(0, P), tl.arange(0, BLOCK_C)
    inside = (p < HW)[:, None] & (c < C)[None, :]
    at = (image * HW + p)[:, None] * C + c[None, :]
    row = sums + (image * tl.num_programs(0) + tile) * (3 * C + 2)
    dy_here = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
    dgate = dy_here * tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    gate = _thin(channel, pixel, image, p, c, HW, C, HAS_CHANNEL, HAS_PIXEL, P, BLOCK_C)
    if HAS_CHANNEL:
        tl.store(row + c, tl.sum(dgate, 0), mask=c < C)
    if HAS_PIXEL:
        tl.store(dpixel + image * HW + p, tl.sum(dgate, 1), mask=p < HW)
    if WIDE > 0:
        w = _weight(weight0, WEIGHTED)
        s = _sigmoid(logits0, bias0, at, c, inside, C, HAS_BIAS0)
        gate += w * s
        if WEIGHTED:
            tl.store(row + 3 * C, tl.sum(tl.sum(dgate * s, 1), 0))
        dlogits = dgate * w * s * (1 - s)
        tl.store(dlogits0 + at, dlogits, mask=inside)
        if HAS_BIAS0:
            tl.store(row + C + c, tl.sum(dlogits, 0), mask=c < C)
    if WIDE > 1:
        w = _weight(weight1, WEIGHTED)
        s = _sigmoid(logits1, bias1, at, c, inside, C, HAS_BIAS1)
        gate += w * s
        if WEIGHTED:
            tl.store(row + 3 * C + 1, tl.sum(tl.sum(dgate * s, 1), 0))
        dlogits = dgate * w * s * (1 - s)
        tl.store(dlogits1 + at, dlogits, mask=inside)
        if HAS_BIAS1:
            tl.store(row + 2 * C + c, tl.sum(dlogits, 0), mask=c < C)
    tl.store(dx + at, dy_here * gate, mask=inside)
