"""`jsnas experiment` from outside: killed trials, Ctrl-C, resume, view, and what it refuses before it starts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from processes import alive

from jsnas.genotype import Genotype
from trainers.cli import main

SMALL: dict[str, Any] = {
    "task": "sr",
    "scale": 2,
    "device": "cpu",
    "datasets": {"patch_size": 16, "batch_size": 2, "workers": 0},
    "search": {
        "modules": 1,
        "channels": 8,
        "inner_channels": 4,
        "operation_nodes": 2,
        "attention_nodes": 2,
        "total_iter": 6,
        "weight_warmup_iters": 2,
        "trial_iter": 6,
    },
    "strategy": {"name": "random"},
    "val": {"val_freq": 3, "max_images": 1, "max_side": 64},
    "logger": {"print_freq": 3, "save_checkpoint_freq": 3, "tensorboard": False},
    "experiment": {"port": 0},
}


@pytest.fixture
def config(tmp_path: Path, photographs: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "datasets": {**SMALL["datasets"], "path": str(photographs)}}))
    return path


class Command:
    """A `jsnas experiment` in the background."""

    def __init__(self, log: Path, *words: str) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jsnas", "experiment", *words],
                stdout=file,
                stderr=file,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def wait_for(self, pattern: str) -> str:
        end = time.monotonic() + 120
        while not (match := re.search(pattern, self.log.read_text())):
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        return match[0]

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self) -> psutil.Process:
        """The process of the trial that runs now."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for process in self.processes():
                try:
                    if "trainers.experiment.trial_worker" in process.cmdline():
                        return process
                except psutil.Error:
                    continue
            time.sleep(0.1)
        raise AssertionError("no trial was started")


def test_a_trial_is_killed_the_experiment_interrupted_resumed_and_viewed(tmp_path: Path, config: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log.txt"
    words = ["--search.budget", "parameters", "--search.budget_target", "1e6", "--max-trials", "3"]
    with Command(log, "--config", str(config), "--out", str(out), *words) as command:
        command.worker().kill()
        command.wait_for("trial 0 failed: The trial was killed by SIGKILL")
        command.wait_for("trial 1: .* dB, .* parameters")
        command.worker()
        pids = [process.pid for process in command.processes()]
        assert len(pids) >= 4  # Node, the tuner, the trial and its worker
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(60) == 130
    assert not [pid for pid in pids if alive(pid)]
    before = {trial["number"]: trial for trial in json.loads((out / "experiment.json").read_text())["trials"]}
    assert before[0]["status"] == "FAILED"
    assert "SIGKILL" in before[0]["reason"]
    (logged,) = out.glob(f"nni/*/environments/*/trials/{before[0]['id']}/trial.stderr")
    assert "The trial was killed by SIGKILL" in logged.read_text()
    assert Genotype.load(out / "genotype.json").to_dict() == before[1]["genotype"]

    with Command(log, "--resume", str(out), "--max-trials", "4", "--port", "0") as command:
        assert command.process.wait(150) == 0, log.read_text()
    after = json.loads((out / "experiment.json").read_text())["trials"]
    assert [trial["status"] for trial in after].count("SUCCEEDED") == 3
    assert next(trial for trial in after if trial["id"] == before[1]["id"]) == before[1]
    scores = [trial["psnr_db"] for trial in after if "psnr_db" in trial]
    assert scores == sorted(scores, reverse=True)
    assert Genotype.load(out / "genotype.json").to_dict() == after[0]["genotype"]
    assert len({json.dumps(t["settings"]) for t in after if "psnr_db" in t}) == 3  # none was run twice
    budget = json.loads((out / "budget.json").read_text())
    assert budget["predicted"] == budget["measured"] == after[0]["parameters"]
    assert f"Predicted {after[0]['parameters']:,} parameters, measured {after[0]['parameters']:,}" in log.read_text()

    files = {path: path.read_bytes() for path in out.glob("*.json")}
    with Command(log, "--view", str(out), "--port", "0") as command:
        url = command.wait_for(r"http://\S+")
        with urllib.request.urlopen(f"{url}api/v1/nni/trial-jobs") as answer:
            assert {job["trialJobId"] for job in json.load(answer)} == {trial["id"] for trial in after}
        pids = [process.pid for process in command.processes()]
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(60) == 0
    assert not [pid for pid in pids if alive(pid)]
    assert files == {path: path.read_bytes() for path in out.glob("*.json")}


def test_a_sweep_with_a_broken_trial_goes_on(tmp_path: Path, config: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log.txt"
    content = yaml.safe_load(config.read_text())
    content["strategy"] = {"name": "pc_darts", "args": {"partial": 2}}
    # 3e30 is a learning rate like any other until the loss is no number any more.
    content["experiment"] = {"port": 0, "sweep": {"search.learning_rate": [3.0e30, 1.0e-3]}, "retrain": True}
    config.write_text(yaml.safe_dump(content))
    with Command(log, "--config", str(config), "--out", str(out)) as command:
        assert command.process.wait(150) == 0, log.read_text()
    good, bad = json.loads((out / "experiment.json").read_text())["trials"]
    assert (bad["status"], good["status"]) == ("FAILED", "SUCCEEDED")
    assert "diverged" in bad["reason"] or "learning_rate" in bad["reason"]
    assert good["settings"] == {"search.learning_rate": 1.0e-3}
    retrained = next((out / "trials").glob(f"*-{good['id']}")) / "retrained" / "trial.json"
    assert json.loads(retrained.read_text())["psnr_db"] == good["psnr_db"]


def test_more_seeds_after_all_trials_are_done_and_the_folder_has_moved(tmp_path: Path, config: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log.txt"
    content = yaml.safe_load(config.read_text())
    content["strategy"] = {"name": "pc_darts", "args": {"partial": 2}}
    config.write_text(yaml.safe_dump(content))
    with Command(log, "--config", str(config), "--out", str(out), "--max-trials", "2") as command:
        assert command.process.wait(150) == 0, log.read_text()
    moved = out.rename(tmp_path / "moved")
    with Command(log, "--resume", str(moved), "--max-trials", "3") as command:
        assert command.process.wait(150) == 0, log.read_text()
    trials = json.loads((moved / "experiment.json").read_text())["trials"]
    assert sorted((trial["number"], trial["settings"]["manual_seed"]) for trial in trials) == [(0, 0), (1, 1), (2, 2)]
    assert {trial["status"] for trial in trials} == {"SUCCEEDED"}
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--strategy", "rendom"], "did you mean 'random'?"),
        (["--data", "nothing.h5"], "nothing.h5"),
        (["--max-trials", "0"], "max_trials"),
        (["--port", "70000"], "does not exist"),
        (["--experiment.tuner", "gird"], "did you mean 'grid'?"),
        (["--experiment.sweep", "{manual_seed: [1]}"], "nothing to sweep"),
        (["--strategy", "pc_darts", "--experiment.sweep", "{search.chanels: [8]}"], "search.channels"),
        (["--strategy", "pc_darts", "--experiment.sweep", "{search.learning_rate: [0.1, -1]}"], "learning_rate"),
        (["--strategy", "pc_darts", "--experiment.sweep", "{strategy.args.partial: [3]}"], "divide"),
        (["--strategy", "pc_darts", "--experiment.sweep", "{search.learning_rate: {_type: lgu}}"], "loguniform"),
        (["--experiment.concurrency", "0"], "concurrency"),
    ],
)
def test_mistakes_end_before_anything_starts(
    words: list[str], sentence: str, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["experiment", "--config", str(config), "--out", str(out), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_taken_port_ends_before_anything_starts(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["experiment", "--config", str(config), "--out", str(tmp_path / "out"), "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"jsnas: Port {port} is taken by another program; give another with --port, or 0 for any free one.\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--view", "--resume"])
def test_a_folder_without_an_experiment_is_told(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment", option, str(tmp_path)]) == 2
    assert "holds no experiment" in capsys.readouterr().err
