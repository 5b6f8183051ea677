"""Branches where nothing is recorded; what they do while a step is, ``test_cuda_graph`` holds on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from jsnas.branches import branch, branches_apart


def test_a_branch_is_computed_where_its_value_is_asked_for() -> None:
    done: list[int] = []
    first, second = (branch(lambda k=k: done.append(k) or k) for k in (1, 2))
    assert not done
    assert (second(), first()) == (2, 1)
    assert done == [2, 1]


class _Stream:
    """Stands in for a stream of a GPU: it notes whom it waits for."""

    device = "cuda:0"

    def __init__(self, device: str = "cuda:0") -> None:
        self.waited: list[_Stream] = []

    def wait_stream(self, other: _Stream) -> None:
        self.waited.append(other)


def test_an_error_while_recording_leaves_no_branch_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = _Stream()
    current = [recorded]
    made: list[_Stream] = []

    @contextlib.contextmanager
    def on(stream: _Stream) -> Iterator[None]:
        current.append(stream)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(_Stream()) or made[-1])

    def fails() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"), branches_apart():
        branch(lambda: 1)()
        branch(lambda: 2)
        branch(fails)
    assert len(made) == 2 and set(recorded.waited[-2:]) == set(made)
    assert branch(lambda: 3)() == 3 and len(made) == 2  # nothing is recorded any more
