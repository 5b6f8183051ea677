"""Packed photographs for experiments."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from jsnas.data.pack import pack
from jsnas.task import Task


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(str(resources.files("skimage") / "data"))
    path = tmp_path_factory.mktemp("data") / "photographs.h5"
    pack([folder / f"{n}.png" for n in ("astronaut", "camera", "coins", "brick")], path, Task("sr", 2))
    return path
