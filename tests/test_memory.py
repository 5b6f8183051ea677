"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import torch
from jsnas.memory import keep_freed_memory

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

if {kept}:
    keep_freed_memory()
maps = [torch.ones(1 << 20) for _ in range(16)]  # 4 MiB each
full = resident()
del maps
print(full - resident())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process")
def test_freed_maps_stay_with_the_process_that_asks_for_it() -> None:
    given_back = {
        kept: float(
            subprocess.run([sys.executable, "-c", CODE.format(kept=kept)], capture_output=True, text=True).stdout
        )
        for kept in (False, True)
    }
    assert given_back[False] > 50 and given_back[True] < 5  # of 64 MiB
