"""The compiled loops: whether they are there, and how one of their functions is called."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from typing import Any

import torch
from torch import Tensor

FORM = 13  # of structures and functions: FORM in common.h


class Shape(ctypes.Structure):
    """``Shape`` of common.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("images", "rows", "columns", "channels")]


def compiled() -> bool:
    """Whether the loops are there."""
    return library() is not None


def suits(x: Tensor) -> bool:
    """Whether the loops are there for a map like x."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and compiled()


def call(name: str, like: Tensor, *arguments: Any) -> None:
    """Calls a function of the loops.

    Args:
        name: Its name.
        like: A map of the shape, B x C x H x W, that it is for.
        arguments: Those before shape, OpenMP and threads.

    Raises:
        MemoryError: If there is none for some rows.
    """
    images, channels, rows, columns = like.shape
    shape = Shape(images, rows, columns, channels)
    if getattr(library(), name)(*arguments, ctypes.byref(shape), _parallel(), torch.get_num_threads()):
        raise MemoryError("The loops in C have no memory for some rows of a map.")


def last(x: Tensor) -> Tensor:
    """A map as the loops take it: channels-last, without holes."""
    return x.contiguous(memory_format=torch.channels_last)


def spread(x: Tensor) -> tuple[Tensor, int]:
    """A map of which pixels follow each other at equal steps, and the step."""
    _, channels, height, width = x.shape
    step = x.stride(3) if width > 1 else x.stride(2) if height > 1 else x.stride(0)
    wanted = (height * width * step, 1, width * step, step)
    if all(size == 1 or here == there for size, here, there in zip(x.shape, x.stride(), wanted, strict=True)):
        return x, step
    return last(x), channels


def pointer(x: Tensor | None) -> int | None:
    """Its address, or that of nothing."""
    return None if x is None else x.data_ptr()


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loops, or ``None``."""
    found = importlib.util.find_spec("jsnas.native._loops")
    if found is None or found.origin is None:
        return None
    number, address = ctypes.c_int64, ctypes.c_void_p
    behind: list[Any] = [ctypes.POINTER(Shape), address, number]
    try:
        loops = ctypes.CDLL(found.origin)
        loops.jsnas_convolution_sums.argtypes = [address, number, *behind]
        loops.jsnas_esa_shrink.argtypes = [address, *[number] * 3, *[address] * 3, *behind]
        loops.jsnas_esa_enlarge.argtypes = [address, *[number] * 6, address, number, address, *behind]
        loops.jsnas_gated_sum.argtypes = [address, number, *behind]
        loops.jsnas_gated_sum_backward.argtypes = [address, number, *behind]
        loops.jsnas_depthwise.argtypes = [address, address, address, number, *behind]
        loops.jsnas_depthwise_kernel.argtypes = [address, address, address, number, *behind]
        loops.jsnas_operation_edges.argtypes = [address, *behind]
        loops.jsnas_operation_edges_backward.argtypes = [address, *behind]
        loops.jsnas_pixel_gates.argtypes = [address, number, number, address, number, *behind]
        loops.jsnas_pixel_gates_backward.argtypes = [address, number, number, address, number, address, *behind]
        loops.jsnas_octets.argtypes = [address, number, *[address] * 4, number, number, number, *behind]
        loops.jsnas_octets_kernel.argtypes = [address, number, address, address, address, number, *behind]
        form = ctypes.c_int.in_dll(loops, "jsnas_form").value
    except (AttributeError, OSError, ValueError):  # compiled for another system, or from other sources
        return None
    return loops if form == FORM else None  # else left from an older checkout: `pip install -e .` makes it anew


@functools.cache
def _parallel() -> Any:
    """Address of ``GOMP_parallel`` in torch's OpenMP, or ``None``: then one thread does it all."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p)
    except (AttributeError, OSError, TypeError):
        return None
