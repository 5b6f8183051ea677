"""Two processes on the CPU end where one process with the whole batch does, however they were started and stopped.

Equal to float rounding: a mean of two halves is rounded otherwise than a mean of the whole.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.config import Config, StrategyConfig
from trainers.config_file import load_config
from trainers.experiment.plan import make_plan
from trainers.launch import on_all_devices, starts_processes
from trainers.ranks import Ranks
from trainers.run_folder import RunFolder
from trainers.search import search
from trainers.train import train

# Weight-normalised 1 x 1 convolutions of one input have no gradient but rounding, which Adam blows up to its full step.
NO_GRADIENT = "excite.parametrizations.weight.original1"


@pytest.fixture
def config(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["--device=cpu", f"--datasets.path={tiny / 'data.h5'}", "--train.genotype=jsnet-sr", "--train.eps=0.01"]
    return load_config(tiny / "tiny.yaml", [*words, "--datasets.validation=4-5", "--logger.tensorboard=false"])


def on(config: Config, devices: int, **train_or_search: int) -> Config:
    changed = {k: dataclasses.replace(getattr(config, k), total_iter=v) for k, v in train_or_search.items()}
    return dataclasses.replace(config, devices=devices, **changed)


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "states" / "00000008.pt", weights_only=True)
    return found


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        if not name.endswith(NO_GRADIENT):
            torch.testing.assert_close(value, b[name], rtol=1e-6, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


def test_a_training_on_two_devices_carried_on_on_one_equals_one_that_never_changed(
    config: Config, tmp_path: Path
) -> None:
    train(config, tmp_path / "whole")
    train(on(config, 2, train=4), tmp_path / "cut")
    train(config, tmp_path / "cut", resume=True)
    whole, cut = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "cut"))
    assert_close(whole, cut, 1e-6)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    assert len(lines[0]) == len(lines[1]) == 4


# The first is the paper's; the second draws noise in every step, which has to be the same in all processes.
@pytest.mark.parametrize("strategy", ["pc_darts", "gumbel_darts"])
def test_a_search_carried_on_under_torchrun_on_two_devices_derives_the_same(
    tiny: Path, config: Config, tmp_path: Path, strategy: str
) -> None:
    args = config.strategy.args if strategy == "pc_darts" else {"annealing_iters": 8}  # whatever total_iter is
    config = dataclasses.replace(config, strategy=StrategyConfig(strategy, args))
    genotype = search(config, tmp_path / "whole")
    search(on(config, 1, search=4), tmp_path / "cut")
    file = tmp_path / "config.yaml"
    file.write_text(on(config, 2).to_yaml())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "jsnas"]
    words = ["search", "--config", str(file), "--out", str(tmp_path / "cut"), "--resume"]
    done = subprocess.run([*torchrun, *words], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Genotype in") == 1  # one process speaks
    assert Genotype.load(tmp_path / "cut" / "genotype.json") == genotype
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    alphas = [name for name in whole["network"] if "_arch_" in name]
    assert alphas
    for name in alphas:
        torch.testing.assert_close(whole["network"][name], cut["network"][name], rtol=0, atol=1e-6)
    difference = torch.cat(
        [
            (value - cut["network"][name]).abs().flatten()
            for name, value in whole["network"].items()
            if value.is_floating_point() and not name.endswith(NO_GRADIENT)
        ]
    )
    # Adam's eps is not a setting of the search: a weight whose gradient is next to nothing takes a whole step.
    assert (difference < 1e-6).double().mean() > 0.999


def test_when_a_process_is_killed_the_run_ends_and_says_so(tiny: Path, config: Config, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(on(config, 2, train=100_000).to_yaml())
    command = [sys.executable, "-m", "jsnas", "train", "--config", str(file), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run" / "states").glob("*.pt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        max(workers, key=lambda worker: worker.pid).kill()
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert "process 1" in errors and "SIGKILL" in errors and "--resume" in errors
    assert "Traceback" not in errors
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def exchange(config: Config, expected: int) -> list[float]:
    """What two processes tell each other, tried inside them."""
    torch.distributed.init_process_group("gloo")
    ranks = Ranks.of(config)
    ranks.connect()
    assert ranks.count == expected and ranks.first == (os.environ["RANK"] == "0")
    assert ranks.any(ranks.rank == 1) and not ranks.any(False)
    ranks.check_equal("greeting", ["hello", 3, torch.arange(4.0)])
    total = ranks.sum([1.0, float(ranks.rank)])
    mean = ranks.mean(torch.tensor(float(ranks.rank)))
    with pytest.raises(InputError, match="Process 1 has other greeting"):
        ranks.check_equal("greeting", [torch.tensor([0.0, 1e-9 * ranks.rank])])
    return [*total, mean.item()]


def test_what_processes_tell_each_other(config: Config) -> None:
    assert starts_processes(on(config, 2))
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert on_all_devices(exchange, on(config, 2), 2) == [2.0, 1.0, 0.5]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_only_the_first_process_touches_the_folder(config: Config, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", config, "search", resume=False, writes=False) as run:
        run.write_text("genotype.json", "{}")
        run.log(1, {"loss": 1.0})
        run.rewind(0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"devices": 3}, "batch of 2 cannot be shared out evenly among 3"),
        ({"devices": 2, "device": "cuda:1"}, "CUDA_VISIBLE_DEVICES"),
        ({"devices": 2, "device": "cuda"}, "2 GPUs were asked for"),
        ({"num_nodes": 2}, "MASTER_ADDR, MASTER_PORT, NODE_RANK"),
    ],
)
def test_what_cannot_be_spread_is_refused_before_anything_starts(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=words):
        train(dataclasses.replace(config, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("setting", "value"), [("strategy", StrategyConfig("random")), ("budget", "latency")])
def test_searches_that_would_not_be_one_search_are_refused(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: Any
) -> None:
    monkeypatch.setattr("trainers.search.Ranks.of", lambda config: Ranks(0, 2))
    changes = (
        {"strategy": value} if setting == "strategy" else {"search": dataclasses.replace(config.search, budget=value)}
    )
    with pytest.raises(InputError, match="on one device"):
        search(dataclasses.replace(config, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_trials_of_an_experiment_take_one_device_each(config: Config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="take one device each"):
        make_plan(on(config, 2), tmp_path / "run")


@pytest.mark.parametrize("setting", ["devices", "num_nodes"])
def test_there_is_at_least_one_device(config: Config, setting: str) -> None:
    with pytest.raises(InputError, match=f"'{setting}' is 0"):
        dataclasses.replace(config, **{setting: 0})


def test_slurm_says_which_process_this_is(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"NTASKS": "2", "PROCID": "1", "LOCALID": "1", "NODEID": "0", "JOB_NAME": "search", "JOB_ID": "7"}
    for name, value in {**task, "STEP_ID": "0", "SRUN_COMM_HOST": "127.0.0.1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(InputError, match="ntasks-per-node"):
        starts_processes(on(config, 2))
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    assert not starts_processes(on(config, 2))
    assert Ranks.of(on(config, 2)) == Ranks(1, 2)
    datasets = dataclasses.replace(config.datasets, batch_size=4)
    with pytest.raises(InputError, match="2 processes were started, but --devices 4"):
        Ranks.of(dataclasses.replace(config, devices=4, datasets=datasets))
