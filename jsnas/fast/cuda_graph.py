"""A step of learning as a CUDA graph: recorded once, then replayed with one launch in place of thousands.

A step of a search has thousands of operations of some microseconds each; issued one by one, a GPU waits for Python.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.branches import branches_apart
from jsnas.fast.host_state import HostState

WARM_UP = 3  # steps as they are before one is recorded: they choose algorithms and make the optimizers' states


class RecordedStep:
    """A step that is recorded when it has been taken a few times with tensors of the same shapes.

    The numbers are those of the step itself, where it works on tensors in place and draws random numbers on the device
    alone. It is recorded anew when shapes, or a setting or the state of an optimizer change; a step that cannot be
    recorded, or that is seen to change what a recording does not hold, goes on as it is, and a warning says so.

    Args:
        step: From tensors on the device to tensors, with backward pass and optimizers' steps. What it does besides,
            on the host, is done only while it is recorded.
        optimizers: Those that it steps.
        module: What it trains.
        device: A CUDA device.
    """

    def __init__(
        self,
        step: Callable[..., tuple[Tensor, ...]],
        optimizers: Sequence[torch.optim.Optimizer],
        module: nn.Module,
        device: torch.device,
    ) -> None:
        self._step, self._optimizers, self._module = step, list(optimizers), module
        # All on one stream: a gradient belongs to the stream on which its weight was first used.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # missing in torch's types
        self._condition: list[Any] = []
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._outputs: tuple[Tensor, ...] = ()
        self._refused = False

    def __call__(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """What the step returns.

        Args:
            batch: On the device.
        """
        if self._refused:
            return self._plainly(batch)
        condition = self._condition_for(batch)
        if not _same(condition, self._condition):
            self._condition, self._taken, self._graph = condition, 0, None
        if self._graph is None and self._taken < WARM_UP:
            self._taken += 1
            before = HostState(self._module)
            current = torch.cuda.current_stream(self._stream.device)
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                outputs = self._plainly(batch)
            current.wait_stream(self._stream)
            if reason := before.changed():
                self._refuse(reason)
            return outputs
        if self._graph is None:
            current = torch.cuda.current_stream(self._stream.device)
            try:
                self._record(batch)
            except RuntimeError as error:
                torch.cuda.set_stream(current)  # torch does not, where a recording cannot be ended
                self._refuse(_cause(error))
        if self._graph is None:  # out of the handler, which holds what the failed attempt has computed
            return self._plainly(batch)
        for kept, new in zip(self._inputs, batch, strict=True):
            kept.copy_(new, non_blocking=True)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)  # the next replay overwrites them

    def _refuse(self, reason: str) -> None:
        self._refused, self._graph, self._inputs, self._outputs = True, None, [], ()
        warnings.warn(f"A step could not be recorded as a CUDA graph, so it is slower: {reason}", stacklevel=3)

    def _plainly(self, batch: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A step as it is, on the current stream."""
        with self._settings(), measured_convolutions():
            return self._step(*batch)

    def _record(self, batch: Sequence[Tensor]) -> None:
        self._inputs = [torch.empty_like(t, device=self._stream.device) for t in batch]
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as one that pins batches, go on meanwhile.
        with (
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            self._settings(),
            branches_apart(),
        ):
            self._outputs = self._step(*self._inputs)
        self._graph = graph

    @contextlib.contextmanager
    def _settings(self) -> Iterator[None]:
        """Optimizers count their steps on the device, and no copy of a weight is kept from an earlier step."""
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        before = [group.get("capturable") for group in groups]
        for optimizer in self._optimizers:
            for parameter, state in optimizer.state.items():
                if "step" in state:
                    state["step"] = state["step"].to(parameter.device)
        dtype, enabled = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
        try:
            for group in groups:
                group["capturable"] = True
            with torch.autocast("cuda", dtype, enabled, cache_enabled=False):
                yield
        finally:  # a state that is saved may be loaded where there is no GPU
            for group, value in zip(groups, before, strict=True):
                group["capturable"] = value

    def _condition_for(self, batch: Sequence[Tensor]) -> list[Any]:
        """What a recording holds for."""
        shapes = [(t.shape, t.dtype, t.stride()) for t in batch]
        states = [optimizer.state for optimizer in self._optimizers]  # another one when a state is loaded
        settings = [
            {name: value for name, value in group.items() if name not in ("params", "capturable")}
            for optimizer in self._optimizers
            for group in optimizer.param_groups
        ]
        return [shapes, settings, states]


@contextlib.contextmanager
def measured_convolutions() -> Iterator[None]:
    """Within, cuDNN chooses how to compute a convolution by trying its ways when a shape comes for the first time.

    torch keeps the choice, so that it holds outside, too, as while a step is recorded, when nothing can be measured.
    What cuDNN takes unmeasured can be many times slower for few channels. Where deterministic algorithms are asked for
    it measures nothing: the fastest may be another one in the next process.
    """
    before = torch.backends.cudnn.benchmark
    exact = torch.backends.cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    torch.backends.cudnn.benchmark = before or not exact
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _cause(error: BaseException) -> str:
    """The first line of what led to an error: at the end of a recording torch raises one that tells nothing."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).partition("\n")[0]


def _same(one: list[Any], other: list[Any]) -> bool:
    """Whether two conditions have equal shapes and settings, and the very same states."""
    return bool(other) and one[:2] == other[:2] and all(a is b for a, b in zip(one[2], other[2], strict=True))
