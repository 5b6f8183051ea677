"""What a node of an attention graph brings to later nodes, in few passes over memory.

    y_j = total_j + x * G_j,   G_j = sum_m t_jm + sum_k w_jk * sigmoid(conv_jk(n_jk))

``x`` is the node, j an edge that leaves it, ``total_j`` what earlier nodes brought to the edge's end; ``t_jm`` are
(weighted) gates of few values; the gates as large as x, in a search of weights ``w_jk`` (Eq. 9), are made here from
narrow maps ``n_jk``. Maps are channels-last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jsnas.fast.gated_edge import MOST_WIDE, GatedEdge, has_triton
from jsnas.fast.native_gated_sum import NativeGatedSum, grouped, kinds_of, suits
from jsnas.fast.once import once_differentiable
from jsnas.fast.same_size import conv_same_size, point_dilation
from jsnas.native.library import last

_PIECE = 1 << 20  # values of a map at a time, 4 MiB


@dataclass(frozen=True)
class WideGate:
    """A gate of C channels before its last convolution, which keeps the size.

    Attributes:
        narrow: n, B x N x H x W.
        kernel: Kernel of the convolution, C x (N / groups) x k x k.
        bias: Its bias, or ``None``.
        weight: w, a tensor of one number, or ``None`` for 1; all gates of an edge have one, or none has.
    """

    narrow: Tensor
    kernel: Tensor
    bias: Tensor | None
    weight: Tensor | None


@dataclass(frozen=True)
class EdgeTerm:
    """An edge that leaves a node x: what is at its end by now, and its gates.

    Attributes:
        total: B x C x H x W, or ``None`` for nothing; it may be changed.
        thin: t, each of a shape that broadcasts to x's.
        wide: The gates as large as x.
    """

    total: Tensor | None
    thin: Sequence[Tensor]
    wide: Sequence[WideGate]


def gated_sums(x: Tensor, edges: Sequence[EdgeTerm]) -> list[Tensor]:
    """What is at the ends of the edges then, B x C x H x W each, as x."""
    x, groups = last(x), _groups(edges)
    if _has_kernels(x, edges):
        return [_by_kernels(x, edge) for edge in edges]
    if suits(x, groups):
        return _by_loops(x, edges, groups)
    return [_by_pieces(x, edge.total, *group) for edge, group in zip(edges, groups, strict=True)]


def in_few_passes(x: Tensor, edges: Sequence[EdgeTerm]) -> bool:
    """Whether Triton kernels, or loops in C, are there for a node and its edges."""
    return _has_kernels(x, edges) or suits(x, _groups(edges))


def _groups(edges: Sequence[EdgeTerm]) -> list[tuple[Sequence[Tensor], list[tuple[Any, ...]]]]:
    return [(edge.thin, [(g.narrow, g.kernel, g.bias, g.weight) for g in edge.wide]) for edge in edges]


def _has_kernels(x: Tensor, edges: Sequence[EdgeTerm]) -> bool:
    """Whether the Triton kernels are there, and made for all edges: no doubles, one thin gate of each shape."""
    if not x.is_cuda or x.dtype == torch.float64 or any(len(edge.wide) > MOST_WIDE for edge in edges):
        return False
    kinds = [kinds_of(x, edge.thin) for edge in edges]
    return all("other" not in k and len(set(k)) == len(k) for k in kinds) and has_triton(x.device)


def _by_kernels(x: Tensor, edge: EdgeTerm) -> Tensor:
    """On a GPU: torch's convolutions, then one kernel."""
    thin = dict(zip(kinds_of(x, edge.thin), edge.thin, strict=True))
    channel, pixel = thin.get("channel"), thin.get("pixel")
    if channel is not None:
        channel = channel.expand(*x.shape[:2], 1, 1).contiguous()
    wide: list[Tensor | None] = []
    for g in edge.wide:
        wide += [
            last(conv_same_size(g.narrow, g.kernel, None)),
            g.bias,
            None if g.weight is None else g.weight.contiguous(),
        ]
    y: Tensor = GatedEdge.apply(edge.total, x, channel, None if pixel is None else pixel.contiguous(), *wide)  # type: ignore[no-untyped-call]
    return y


def _by_loops(x: Tensor, edges: Sequence[EdgeTerm], groups: Sequence[Any]) -> list[Tensor]:
    """By the loops in C: all edges in one pass over x."""
    tensors: list[Tensor | None] = [edge.total for edge in edges]
    for thin, wide in groups:
        tensors += [*thin, *(t for gate in wide for t in gate)]
    return list(NativeGatedSum.apply([(len(thin), len(wide)) for thin, wide in groups], x, *tensors))  # type: ignore[no-untyped-call]


def _by_pieces(x: Tensor, total: Tensor | None, thin: Sequence[Tensor], wide: Sequence[Any]) -> Tensor:
    """By torch's operations."""
    gates: list[Any] = [t for narrow, *others in wide for t in (last(narrow), *others)]
    y: Tensor = _Gated.apply([(len(thin), len(wide))], x, *thin, *gates)  # type: ignore[no-untyped-call]
    return y if total is None else total + y


class _Gated(torch.autograd.Function):
    """x times its gates: ``apply(shape, x, *gates)``, the shape telling thin and wide ones apart."""

    @staticmethod
    def forward(ctx: Any, shape: Any, x: Tensor, *gates: Any) -> Tensor:
        ((thin, wide),) = grouped(shape, gates)
        y = torch.empty_like(x)
        sigmoids = [torch.empty_like(y) for _ in wide]
        for here in _pieces(y):
            for (narrow, kernel, bias, _), s in zip(wide, sigmoids, strict=True):
                torch.sigmoid(conv_same_size(narrow[here], kernel, bias), out=s[here])
            torch.mul(x[here], _gate(thin, [w for *_, w in wide], sigmoids, x[here], here), out=y[here])
        ctx.shape, ctx.count = shape, len(gates)
        ctx.save_for_backward(x, *gates, *sigmoids)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        dy = last(outputs[0])
        x, *others = ctx.saved_tensors
        ((thin, wide),) = grouped(ctx.shape, others[: ctx.count])
        sigmoids = others[ctx.count :]
        _, needs_x, *needs = ctx.needs_input_grad
        ((needs_thin, needs_wide),) = grouped(ctx.shape, needs)
        dx = torch.empty_like(x) if needs_x else None
        dthin = [torch.zeros_like(t) if need else None for t, need in zip(thin, needs_thin, strict=True)]
        dwide = [_WideGradient(gate, needs) for gate, needs in zip(wide, needs_wide, strict=True)]
        for here in _pieces(dy):
            if dx is not None:
                torch.mul(dy[here], _gate(thin, [w for *_, w in wide], sigmoids, x[here], here), out=dx[here])
            dgate = dy[here] * x[here]
            for dt in dthin:
                if dt is not None:
                    part = _at(dt, here)
                    part += dgate.sum_to_size(part.shape)
            for gradient, s in zip(dwide, sigmoids, strict=True):
                gradient.add(dgate, s[here], here)
        return None, dx, *dthin, *(each for gradient in dwide for each in gradient.all())


class _WideGradient:
    """The gradients of one wide gate, collected piece by piece."""

    def __init__(self, gate: Sequence[Any], needs: Sequence[bool]) -> None:
        self.narrow, self.kernel, self.bias, self.weight = gate
        self.needs_narrow, self.needs_kernel, _, self.needs_weight = needs
        self.dnarrow: Tensor | None = torch.empty_like(self.narrow) if self.needs_narrow else None
        self.dkernel: Tensor | None = None
        self.dbias: Tensor | None = None
        self.dweight: Tensor | None = None

    def add(self, dgate: Tensor, s: Tensor, here: slice) -> None:
        """Adds the part of one piece of the batch."""
        if self.needs_weight:
            inner = torch.dot(dgate.permute(0, 2, 3, 1).reshape(-1), s.permute(0, 2, 3, 1).reshape(-1))
            self.dweight = inner if self.dweight is None else self.dweight + inner
        if not (self.needs_narrow or self.needs_kernel):
            return
        dlogit = torch.ops.aten.sigmoid_backward(dgate, s)
        if self.weight is not None:
            dlogit.mul_(self.weight)
        # Under autocast their types differ.
        narrow, kernel = self.narrow[here].to(dlogit.dtype), self.kernel.to(dlogit.dtype)
        repeats = len(kernel) // narrow.shape[1] if kernel.shape[1] == 1 else 1
        groups = narrow.shape[1] // kernel.shape[1] * repeats
        if repeats > 1:  # a depthwise convolution of repeated channels has the faster gradients
            narrow = _repeated(narrow, repeats) if self.needs_kernel else dlogit  # only its shape matters
        pad = [kernel.shape[-1] // 2] * 2
        dilation = [point_dilation(kernel) if kernel.shape[-1] == 1 else 1] * 2
        bias_sizes = [len(kernel)] if self.bias is not None else None
        mask = [self.needs_narrow, self.needs_kernel, self.needs_kernel and self.bias is not None]
        dnarrow, dkernel, dbias = torch.ops.aten.convolution_backward(
            dlogit, narrow, kernel, bias_sizes, [1, 1], pad, dilation, False, [0, 0], groups, mask
        )
        if self.dnarrow is not None:
            by_pixel = dnarrow.permute(0, 2, 3, 1).unflatten(-1, (-1, repeats))
            torch.sum(by_pixel, -1, out=self.dnarrow[here].permute(0, 2, 3, 1))
        if self.needs_kernel:
            self.dkernel = dkernel if self.dkernel is None else self.dkernel + dkernel
            if self.bias is not None:
                self.dbias = dbias if self.dbias is None else self.dbias + dbias

    def all(self) -> list[Tensor | None]:
        """The gradients of narrow map, kernel, bias and weight."""
        dweight = None if self.dweight is None else self.dweight.view_as(self.weight)
        return [self.dnarrow, self.dkernel, self.dbias, dweight]


def _repeated(x: Tensor, times: int) -> Tensor:
    """Every channel several times."""
    wide = x.permute(0, 2, 3, 1).unsqueeze(-1).expand(-1, -1, -1, -1, times)
    return wide.flatten(3).permute(0, 3, 1, 2)


def _gate(
    thin: Sequence[Tensor], weights: Sequence[Tensor | None], sigmoids: Sequence[Tensor], x: Tensor, here: slice
) -> Tensor:
    """G of one piece of the batch."""
    gate = torch.empty_like(x)
    values = [_at(t, here) for t in thin]
    if len(values) > 1 and torch.broadcast_shapes(values[0].shape, values[1].shape) == gate.shape:  # type: ignore[no-untyped-call]
        torch.add(values[0], values[1], out=gate)  # one value a channel and one a pixel
        values = values[2:]
    else:
        gate.zero_()
    for t in values:
        gate += t
    for s, weight in zip(sigmoids, weights, strict=True):
        if weight is None:
            gate += s[here]
        else:
            gate.addcmul_(s[here], weight)
    return gate


def _pieces(y: Tensor) -> list[slice]:
    """Parts of a batch whose maps stay in a CPU's cache while they are worked on; all of it elsewhere."""
    if y.device.type != "cpu":
        return [slice(None)]
    images = max(_PIECE // y[0].numel(), 1)
    return [slice(k, k + images) for k in range(0, len(y), images)]


def _at(thin: Tensor, here: slice) -> Tensor:
    """The part of a tensor that may be one for the whole batch."""
    return thin if len(thin) == 1 else thin[here]
