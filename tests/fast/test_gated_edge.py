"""Triton decides when it is imported whether to interpret its kernels, so a process of its own does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jsnas.fast.gated_edge import has_triton


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton has wheels for Linux alone")
def test_triton_kernels_interpreted_on_the_cpu() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    file = Path(__file__).with_name("interpreted_gated_edge.py")
    done = subprocess.run(
        [*command, str(file)], env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton has wheels for Linux alone")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("number", ["fp32", "bf16"])
@pytest.mark.parametrize(("wide", "has"), [(2, True), (1, False), (0, True)])
def test_triton_kernels_compile_without_a_gpu(
    capability: int, number: str, wide: int, has: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For cards of a compute capability, up to the code that they load."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")  # its default, of which it warns where nothing is said
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from jsnas.fast import gated_edge_kernels

    for kernel in (gated_edge_kernels.forward, gated_edge_kernels.backward):
        flags = [name for name in kernel.arg_names if name.startswith("HAS_")]
        constants = {"WIDE": wide, "P": 32, "BLOCK_C": 64, "WEIGHTED": has, **dict.fromkeys(flags, has)}
        types = {**dict.fromkeys(kernel.arg_names, f"*{number}"), "sums": "*fp32", "HW": "i32", "C": "i32"}
        types |= dict.fromkeys(constants, "constexpr")
        signature = {name: types[name] for name in kernel.arg_names}
        made = triton.compile(
            ASTSource(fn=kernel, signature=signature, constexprs=constants), target=GPUTarget("cuda", capability, 32)
        )
        assert f".target sm_{capability}" in made.asm["ptx"] and made.asm["cubin"]
        assert made.metadata.shared < 48 << 10  # bytes that any card has


def test_where_triton_does_not_run_torch_stands_in_and_says_so() -> None:
    """As on a CPU, for which it compiles nothing."""
    has_triton.cache_clear()
    with pytest.warns(UserWarning, match="Triton does not run on cpu"):
        assert not has_triton(torch.device("cpu"))
