"""Parts of a network that do not wait for each other, side by side on a GPU.

Only while a step is recorded (``jsnas.fast.cuda_graph``): a recording keeps which operation waits for which, and a GPU
that replays it fills up with the small ones. Elsewhere parts are computed where their values are asked for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")

# Of the recording that goes on, if one does, the streams that are free and all; a process has one at a time. A plain
# list, because torch.compile cannot read a ContextVar. Beside it the thread that records: others compute as elsewhere.
_recording: list[tuple[int, list[torch.cuda.Stream], list[torch.cuda.Stream]]] = []


def branch(compute: Callable[[], T]) -> Callable[[], T]:
    """Begins a computation.

    Args:
        compute: It reads what is there by now.

    Returns:
        What gives its value, waiting for it; to be called once.
    """
    if not _recording:
        return compute
    thread, free, made = _recording[-1]
    if thread != threading.get_ident():
        return compute
    here = torch.cuda.current_stream()
    if not free:
        free.append(torch.cuda.Stream(here.device))  # type: ignore[no-untyped-call]
        made.append(free[-1])
    side = free.pop()
    side.wait_stream(here)
    with torch.cuda.stream(side):
        value = compute()

    def wait() -> T:
        torch.cuda.current_stream().wait_stream(side)
        free.append(side)
        return value

    return wait


@contextlib.contextmanager
def branches_apart() -> Iterator[None]:
    """Within, branches run on streams of their own; the current stream is being recorded.

    Where an error leaves some unfinished, the current stream waits for them all: else CUDA could not end the recording,
    and torch would keep its memory.
    """
    made: list[torch.cuda.Stream] = []
    _recording.append((threading.get_ident(), [], made))
    here = torch.cuda.current_stream()
    try:
        with _Crossings():  # type: ignore[no-untyped-call]
            yield
    except BaseException:
        with contextlib.suppress(RuntimeError):  # the recording may be beyond that
            for side in made:
                here.wait_stream(side)
        raise
    finally:
        _recording.pop()


def reads(*tensors: torch.Tensor | None) -> None:
    """To be told by what reads tensors on the current stream without torch's operations.

    While a step is recorded, the memory of what another stream made then serves nothing else before.
    """
    there = [t for t in tensors if t is not None and t.is_cuda]
    if there and torch.cuda.is_current_stream_capturing():
        here = torch.cuda.current_stream()
        for t in there:
            t.record_stream(here)


class _Crossings(TorchDispatchMode):  # type: ignore[no-untyped-call]  # missing in torch's types
    """Tells the allocator which streams read a tensor, so that its memory serves no other before they have."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        here = torch.cuda.current_stream()
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor) and leaf.is_cuda:
                leaf.record_stream(here)
        return func(*args, **(kwargs or {}))
