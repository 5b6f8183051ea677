"""Fixtures shared by all tests."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: threads of several workers would wait for each other, spinning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import yaml
from hypothesis import settings

from jsnas.attentions import ATTENTIONS
from jsnas.native.library import library
from jsnas.operations import OPERATIONS
from trainers.config import Config
from trainers.config_file import load_config

# A busy machine is slow now and then, and torch where a kind of layer is used for the first time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference inputs beside the checkout (JSNAS_SHARED elsewhere); skips where there is none."""
    folder = Path(os.environ.get("JSNAS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip("needs the folder of reference images and outputs")
    return folder


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[None]:
    """Blocks that a test makes known are unknown to the next one."""
    tables = (OPERATIONS, ATTENTIONS)
    known = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, known, strict=True):
        table.clear()
        table.update(before)


@pytest.fixture(params=[16, 8, 4], ids="{} floats".format)
def vectors(request: pytest.FixtureRequest) -> Iterator[None]:
    """The loops in C with the vectors of each kind of processor, as far as this one has them."""
    loops = library()
    if loops is None:
        pytest.skip("the loops were not compiled: there was no compiler")
    widest = ctypes.c_int.in_dll(loops, "jsnas_widest")
    before, widest.value = widest.value, request.param
    yield
    widest.value = before


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six 96 x 96 cuts of photographs that ship with scikit-image, packed for super-resolution x2."""
    from skimage import data, io

    from jsnas.data.pack import pack
    from jsnas.task import Task

    folder = tmp_path_factory.mktemp("tiny")
    cuts = [
        photo()[y : y + 96, 150:246, :3] for photo in (data.astronaut, data.chelsea, data.coffee) for y in (40, 160)
    ]
    paths = [folder / f"{k}.png" for k in range(len(cuts))]
    for path, cut in zip(paths, cuts, strict=True):
        io.imsave(path, cut, check_contrast=False)
    pack(paths, folder / "tiny.h5", Task("sr", 2))
    return folder / "tiny.h5"


@pytest.fixture
def tiny_config(tiny_data: Path, tmp_path: Path) -> Callable[..., Config]:
    """A function from overrides (``search__max_trials=2``) to a config of seconds on the tiny data."""

    def make(**overrides: object) -> Config:
        settings: dict[str, object] = {
            "task": "sr",
            "scale": 2,
            "device": "cpu",
            "datasets": {"path": str(tiny_data), "patch_size": 16, "batch_size": 2, "workers": 0},
            "search": {
                "modules": 1,
                "channels": 16,
                "inner_channels": 8,
                "operation_nodes": 3,
                "attention_nodes": 2,
                "total_iter": 4,
                "weight_warmup_iters": 1,
                "trial_iter": 2,
                "max_trials": 2,
                "learning_rate": 1e-3,
            },
            "val": {"val_freq": 2, "max_images": 1, "max_side": 64},
            "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "tensorboard": False},
        }
        for name, value in overrides.items():
            section, _, key = name.rpartition("__")
            place = settings.setdefault(section, {}) if section else settings
            assert isinstance(place, dict)
            place[key] = value
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(settings))
        return load_config(file)

    return make
