"""Triton decides when it is imported whether to interpret its kernels, so a process of its own does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jsnas.strategy.gated_edge import has_triton


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton has wheels for Linux alone")
def test_triton_kernels_interpreted_on_the_cpu() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    file = Path(__file__).with_name("interpreted_gated_edge.py")
    done = subprocess.run(
        [*command, str(file)], env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_where_triton_does_not_run_torch_stands_in_and_says_so() -> None:
    """As on a CPU, for which it compiles nothing."""
    has_triton.cache_clear()
    with pytest.warns(UserWarning, match="Triton does not run on cpu"):
        assert not has_triton(torch.device("cpu"))
