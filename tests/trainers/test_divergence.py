"""A loss or a weight that is no longer a number stops a run with the step, and nothing of it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import trainers.train as recipe
from jsnas import load_checkpoint
from jsnas.errors import InputError
from trainers import learning_step
from trainers.config_file import load_config
from trainers.loss_meter import LossMeter
from trainers.restoration_module import RestorationModule
from trainers.search import search
from trainers.state import load_newest_state


def config_of(tiny: Path, *overrides: str):
    files = [f"--datasets.path={tiny / 'data.h5'}", "--train.genotype=rb-ca", "--logger.tensorboard=false"]
    return load_config(tiny / "tiny.yaml", [*files, *overrides])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_stops_at_the_step_and_keeps_what_was_good(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    original, calls = learning_step.patch_loss, []

    def diverging(model, batch):
        calls.append(1)
        return original(model, batch) * (value if len(calls) == 5 else 1)

    frequencies = ["--logger.print_freq=100", "--logger.save_checkpoint_freq=2", "--val.val_freq=4"]
    with monkeypatch.context() as patch:
        patch.setattr(learning_step, "patch_loss", diverging)
        with pytest.raises(InputError, match=r"in iteration 5; .*lower train\.learning_rate.*--resume"):
            recipe.train(config_of(tiny, *frequencies), tmp_path / "run")
    state = load_newest_state(tmp_path / "run" / "states")
    assert state is not None and state["iteration"] == 4
    weights = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").state_dict().values()
    assert all(bool(torch.isfinite(weight).all()) for weight in weights)
    lowered = config_of(tiny, *frequencies, "--train.learning_rate=1e-5")  # as the sentence says
    recipe.train(lowered, tmp_path / "run", resume=True)


def test_a_search_stops_at_the_step(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = RestorationModule.training_step, []

    def diverging(self, batch, index):
        calls.append(1)
        return original(self, batch, index) * (float("nan") if len(calls) == 3 else 1)  # still in the warm-up

    frequencies = ["--logger.print_freq=100", "--logger.save_checkpoint_freq=2", "--val.val_freq=0"]
    with monkeypatch.context() as patch:
        patch.setattr(RestorationModule, "training_step", diverging)
        with pytest.raises(InputError, match=r"NaN in iteration 3; .*search\.learning_rate"):
            search(config_of(tiny, *frequencies), tmp_path / "run")
    assert [path.stem for path in (tmp_path / "run" / "states").iterdir()] == ["00000002"]
    lowered = config_of(tiny, *frequencies, "--search.learning_rate=1e-5")
    search(lowered, tmp_path / "run", resume=True)
    state = load_newest_state(tmp_path / "run" / "states")
    assert state is not None and state["weight_optimizer"]["param_groups"][0]["lr"] == 1e-5


def test_the_first_bad_step_is_named_however_late_it_is_asked_for() -> None:
    meter = LossMeter(torch.device("cpu"), "try something.")
    for value in (1.0, 3.0):
        meter.add(torch.tensor(value))
    assert meter.read(10) == 2.0
    for value in (1.0, float("inf"), -float("inf"), 1.0):
        meter.add(torch.tensor(value))
    with pytest.raises(InputError, match="in iteration 12; try something"):
        meter.check(14)


def test_a_spoilt_weight_is_noticed_under_a_finite_loss() -> None:
    meter = LossMeter(torch.device("cpu"), "try something.")
    meter.add(torch.tensor(1.0))
    meter.check(7, [torch.ones(3), torch.arange(3)])
    with pytest.raises(InputError, match="weight was no longer finite after iteration 7"):
        meter.check(7, [torch.ones(3), torch.tensor([1.0, float("nan")])])
