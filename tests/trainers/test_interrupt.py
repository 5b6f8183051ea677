"""A run that is stopped, by a signal or by force, is carried on to the very same end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jsnas.errors import InputError
from trainers.config_file import load_config
from trainers.interrupt import StopRequest
from trainers.run_folder import RunFolder


def test_the_first_signal_only_asks_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_folder_takes_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path, load_config("demo"), "search", resume=False),
        pytest.raises(InputError, match="Another process"),
    ):
        RunFolder(tmp_path, load_config("demo"), "search", resume=True)
    with RunFolder(tmp_path, load_config("demo"), "search", resume=True):
        pass


def command(folder: Path, out: str, *more: str) -> list[str]:
    files = ["--config", str(folder / "tiny.yaml"), "--data", str(folder / "data.h5"), "--out", str(folder / out)]
    words = ["train", *files, "--genotype", "jsnet-sr", "--iterations", "60", *more]
    return [sys.executable, "-m", "jsnas", *words]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_training_ends_like_one_that_was_not(tiny: Path, number: signal.Signals) -> None:
    whole, cut = tiny / "whole", tiny / f"cut-{number.name}"
    if not whole.exists():
        subprocess.run(command(tiny, "whole"), check=True, capture_output=True)
    process = subprocess.Popen(command(tiny, cut.name), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((cut / "states").glob("*.pt")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number is not signal.SIGKILL and process.returncode != 0:
        assert process.returncode == 130 and b"--resume" in errors
    subprocess.run(command(tiny, cut.name, "--resume"), check=True, capture_output=True)
    for name in ("checkpoint.safetensors", "metrics.jsonl", "states/00000060.pt"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
