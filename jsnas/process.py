"""What the command line asks of its process before it computes; a program that uses the library may ask for it, too.

* Memory: glibc gives large freed blocks back to the system at once, and the next map of that size is paged in anew,
  which took up to half of the time of a network on a CPU (`python -m benchmarks.latency_table` with and without).
* Denormal numbers: a processor takes up to a hundred times as long for products of numbers below 1.2e-38, and gates
  that are all but closed make gradients of such numbers, two fifths of the time of a training on a CPU
  (`python -m benchmarks.train_step`). They count as zeros.
"""

from __future__ import annotations

import ctypes

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for mallopt
_LARGEST_HEAP_BLOCK = 32 << 20  # bytes; glibc takes no more
_KEPT = 2**31 - 1  # bytes at the end of the heap


def prepare_process() -> None:
    """Keeps freed memory and flushes denormal numbers, where that is possible.

    To be called before torch computes for the first time: threads take the treatment of denormal numbers from the one
    that starts them.
    """
    _keep_freed_memory()
    torch.set_flush_denormal(True)


def _keep_freed_memory() -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK)
