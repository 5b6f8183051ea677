"""What a process is prepared for: freed memory stays with it, and denormal numbers are zeros, on every thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEMORY = """
import torch
from jsnas.process import prepare_process

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

if {asked}:
    prepare_process()
maps = [torch.ones(1 << 20) for _ in range(16)]  # 4 MiB each
full = resident()
del maps
print(full - resident())
"""

DENORMAL = """
import torch
from jsnas.process import prepare_process

torch.set_num_threads(4)
if {asked}:
    prepare_process()
x = torch.full((1 << 20,), 1e-38)  # enough for all threads
print(int((x * 0.1).view(torch.int32).count_nonzero()))
"""


def printed(code: str) -> dict[bool, float]:
    """What a process prints that has asked for it, or not."""
    return {
        asked: float(
            subprocess.run([sys.executable, "-c", code.format(asked=asked)], capture_output=True, text=True).stdout
        )
        for asked in (False, True)
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process")
def test_freed_maps_stay_with_the_process_that_asks_for_it() -> None:
    given_back = printed(MEMORY)
    assert given_back[False] > 50 and given_back[True] < 5  # of 64 MiB


def test_denormal_numbers_are_zeros_on_every_thread() -> None:
    numbers = printed(DENORMAL)
    assert numbers[False] == 1 << 20 and numbers[True] == 0
