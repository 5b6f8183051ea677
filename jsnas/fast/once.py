"""Gradients that cannot be differentiated again say so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def once_differentiable(backward: Callable[P, T]) -> Callable[P, T]:
    """A ``backward`` that refuses ``create_graph=True``.

    Torch's decorator of this name tells only those who then call ``backward``; ``torch.autograd.grad`` leaves out what
    went this way, and gives wrong gradients without a word.
    """

    @functools.wraps(backward)
    def refusing(*args: P.args, **kwargs: P.kwargs) -> T:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "Gradients of the fast form cannot be differentiated again; leave create_graph out, or take the "
                "network without its fast form."
            )
        return backward(*args, **kwargs)

    return refusing
