"""A pass of a network in two halves of its batch, each on threads of its own: small operations fill few cores.

The halves are exact where no value of one image depends on another. Gradients are added in a fixed order, so a pass
gives the same numbers each time. Each half keeps a graph of its own; to autograd outside the pass is one step.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from jsnas.fast.once import once_differentiable

T = TypeVar("T")

# Seconds that one half waits for Python's lock before it asks the other to let go; by default ten steps' time.
_PATIENCE = 2e-4


class Halves:
    """Two halves at once: one on the calling thread, one on a thread that is kept.

    Args:
        threads: Of torch in a pass as a whole; each half has half of them, and one at least.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._other = ThreadPoolExecutor(1, "half", torch.set_num_threads, (max(threads // 2, 1),))

    def both(self, one: Callable[[], T], other: Callable[[], T]) -> tuple[T, T]:
        """What the two return; an error of either is raised when both have ended."""
        with self.share():
            future: Future[T] = self._other.submit(other)
            try:
                first = one()
            finally:
                future.exception()  # waits
            return first, future.result()

    @contextlib.contextmanager
    def share(self) -> Iterator[None]:
        """Meanwhile the calling thread has half of torch's threads, as in a pass.

        Between passes too, this is faster: threads that come together for a small step there wait for the next one by
        spinning, for some milliseconds, on the cores of the other half.
        """
        before, patience = torch.get_num_threads(), sys.getswitchinterval()
        torch.set_num_threads(max(self.threads // 2, 1))
        sys.setswitchinterval(min(patience, _PATIENCE))
        try:
            yield
        finally:
            torch.set_num_threads(before)
            sys.setswitchinterval(patience)

    def close(self) -> None:
        """Ends the thread."""
        self._other.shutdown()

    def __call__(
        self, forward: Callable[[Tensor], Tensor], x: Tensor, outer: Sequence[Tensor], inner: Sequence[Tensor]
    ) -> Tensor:
        """The value of ``forward(x)``, with gradients for ``outer``.

        Args:
            forward: A network of which no random number or statistic of a batch is a part.
            x: B x ..., B of 2 or more; it gets no gradient.
            outer: What the value depends on.
            inner: For each of these the leaf that ``forward`` computes with; what it leaves out gets no gradient.
        """
        y: Tensor = _InHalves.apply(self, forward, x, inner, *outer)
        return y


class _InHalves(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        halves: Halves,
        forward: Callable[[Tensor], Tensor],
        x: Tensor,
        inner: Sequence[Tensor],
        *outer: Tensor,
    ) -> Tensor:
        def half(part: Tensor) -> Tensor:
            with torch.enable_grad():
                return forward(part)

        first, second = x.tensor_split(2)
        ctx.halves = halves
        ctx.inner = [leaf for leaf in inner if leaf.requires_grad]
        ctx.learns = [leaf.requires_grad for leaf in inner]
        ctx.ends = halves.both(lambda: half(first), lambda: half(second))
        return torch.cat([end.detach() for end in ctx.ends])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        def half(end: Tensor, dy: Tensor) -> tuple[Tensor | None, ...]:
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(end, ctx.inner, dy, allow_unused=True)
            return gradients

        if ctx.ends is None:
            raise RuntimeError("A pass in halves is differentiated once; take the pass again for other gradients.")
        (one, other), (dy_one, dy_other) = ctx.ends, outputs[0].tensor_split(2)
        ctx.ends = None
        first, second = ctx.halves.both(lambda: half(one, dy_one), lambda: half(other, dy_other))
        both = [k for k, gradient in enumerate(first) if gradient is not None]
        sums = iter(torch._foreach_add([first[k] for k in both], [second[k] for k in both]))
        gradients = iter([None if gradient is None else next(sums) for gradient in first])
        return (None, None, None, None, *(next(gradients) if learns else None for learns in ctx.learns))
