"""The shares of several processes are together the batch of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jsnas.data.h5 import H5Images
from jsnas.data.pack import pack
from jsnas.data.patches import PatchBatches
from jsnas.errors import InputError
from jsnas.task import Task

TASKS = [Task("sr", 2), Task("denoise", sigma=25.0), Task("deblock", quality=10)]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, H5Images]:
    folder = tmp_path_factory.mktemp("shares")
    rng = np.random.default_rng(3)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    for task in TASKS:
        pack([folder / f"{name}.png" for name in "abc"], folder / f"{task.name}.h5", task)
    return {task.name: H5Images(folder / f"{task.name}.h5") for task in TASKS}


@settings(max_examples=30)
@given(
    task=st.sampled_from(TASKS),
    parts=st.integers(1, 5),
    size=st.integers(1, 4),
    seed=st.integers(0, 2**63),
    index=st.integers(0, 10**6),
)
def test_the_shares_are_together_the_whole_batch(
    packed, task: Task, parts: int, size: int, seed: int, index: int
) -> None:
    def stream(share: tuple[int, int]) -> PatchBatches:
        return PatchBatches(packed[task.name], task, [0, 1, 2], 9, parts * size, seed, share=share)

    whole = stream((0, 1))[index]
    shares = [stream((part, parts))[index] for part in range(parts)]
    for k in range(2):
        assert all(len(share[k]) == size for share in shares)
        assert torch.equal(torch.cat([share[k] for share in shares]), whole[k])


@pytest.mark.parametrize("share", [(0, 3), (2, 2), (-1, 2)])
def test_parts_that_are_not_equal_or_not_there_are_refused(packed, share: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="make the parts equal"):
        PatchBatches(packed["sr"], TASKS[0], [0], 9, 4, 0, share=share)
