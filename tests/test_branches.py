"""Branches where nothing is recorded; what they do while a step is, ``test_cuda_graph`` holds on a GPU."""

from __future__ import annotations

from jsnas.branches import branch


def test_a_branch_is_computed_where_its_value_is_asked_for() -> None:
    done: list[int] = []
    first, second = (branch(lambda k=k: done.append(k) or k) for k in (1, 2))
    assert not done
    assert (second(), first()) == (2, 1)
    assert done == [2, 1]
