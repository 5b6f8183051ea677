"""Processes that prepare batches: one that dies, or meets an error, is reported in a sentence and not waited for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

import trainers.train as recipe
from jsnas.data.patches import PatchBatches
from jsnas.errors import InputError
from trainers import report
from trainers.config_file import load_config

MAIN = os.getpid()


@pytest.fixture
def config(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recipe, "worker_count", lambda config: 1)  # a CPU run has none
    files = [f"--datasets.path={tiny / 'data.h5'}", "--train.genotype=rb-ca", "--logger.tensorboard=false"]
    return load_config(tiny / "tiny.yaml", [*files, "--val.val_freq=0"])


def in_worker(monkeypatch: pytest.MonkeyPatch, act) -> None:
    original = PatchBatches.__getitem__

    def spoilt(self, index):
        if os.getpid() != MAIN and index == 3:
            act()
        return original(self, index)

    monkeypatch.setattr(PatchBatches, "__getitem__", spoilt)


# torch raises from its signal handler, wherever the interpreter happens to be: inside another library's callback (here
# hypothesis's, of the garbage collector) Python can only print it; the loader's own watch then finds the dead worker.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_a_killed_worker_is_reported(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_worker(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r"prepares batches died .*free some memory or lower datasets\.workers"):
        recipe.train(config, tmp_path / "run")


def test_a_worker_that_dies_while_the_page_is_written_is_reported(config, tmp_path: Path, monkeypatch) -> None:
    def interrupted(folder: Path, running: bool) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr(report, "write_report", interrupted)
    with pytest.raises(InputError, match=r"prepares batches died .*pid 7"), pytest.warns(UserWarning, match="page"):
        recipe.train(config, tmp_path / "run")


def test_an_error_of_a_worker_is_one_sentence(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise InputError("'data.h5' was replaced while it was in use; start again.")

    in_worker(monkeypatch, refuse)
    with pytest.raises(InputError, match=r"^'data\.h5' was replaced while it was in use; start again\.$"):
        recipe.train(config, tmp_path / "run")


def test_workers_give_the_run_that_the_main_process_gives(config, tmp_path: Path, monkeypatch) -> None:
    recipe.train(config, tmp_path / "workers")
    monkeypatch.setattr(recipe, "worker_count", lambda config: 0)
    recipe.train(config, tmp_path / "main")
    states = [torch.load(tmp_path / run / "states" / "00000008.pt", weights_only=True) for run in ("workers", "main")]
    for name, weight in states[0]["network"].items():
        assert torch.equal(weight, states[1]["network"][name]), name
