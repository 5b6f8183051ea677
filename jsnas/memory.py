"""The C library's memory: kept for the next maps rather than given back and taken anew.

glibc gives large freed blocks back to the system at once, and the next map of that size is paged in anew, which took up
to half of the time of a network on a CPU (`python -m benchmarks.latency_table` with and without).
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for mallopt
_LARGEST_HEAP_BLOCK = 32 << 20  # bytes; glibc takes no more
_KEPT = 2**31 - 1  # bytes at the end of the heap


def keep_freed_memory() -> None:
    """Lets this process keep what it frees; does nothing where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK)
