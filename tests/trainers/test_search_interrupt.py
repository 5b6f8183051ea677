"""A search that is stopped by a signal saves its step, and carries on to the very same end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from trainers.restoration_module import RestorationModule
from trainers.search import search


@pytest.mark.parametrize("name", ["pc_darts", "gumbel_darts", "random_oneshot"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tiny_config, tmp_path: Path, monkeypatch, name: str, number: signal.Signals) -> None:
    config = tiny_config(
        strategy={"name": name}, search__total_iter=8, logger__print_freq=2, logger__save_checkpoint_freq=100
    )
    whole = search(config, tmp_path / "whole")
    original, calls = RestorationModule.training_step, []

    def interrupted(self, batch, index):
        calls.append(index)
        if len(calls) == 4:
            os.kill(os.getpid(), number)
        return original(self, batch, index)

    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(RestorationModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(config, tmp_path / "cut")
    assert signal.getsignal(number) == handler
    states = list((tmp_path / "cut" / "states").iterdir())
    assert len(states) == 1 and int(states[0].stem) < 5
    assert not (tmp_path / "cut" / "genotype.json").exists()
    assert search(config, tmp_path / "cut", resume=True) == whole
    metrics = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "cut")]
    assert metrics[0] == metrics[1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # NNI leaves its log open
def test_a_multi_trial_search_carries_on_with_the_trial_that_was_cut(tiny_config, tmp_path: Path, monkeypatch) -> None:
    import trainers.multi_trial as recipe

    config = tiny_config(strategy={"name": "random"}, search__max_trials=3)
    whole = search(config, tmp_path / "whole")
    original = recipe.run_trial

    def interrupted(config, genotype, out):
        if out.name == "0002":
            out.mkdir(parents=True)
            (out / "config.yaml").touch()
            raise KeyboardInterrupt
        return original(config, genotype, out)

    with monkeypatch.context() as patch:
        patch.setattr(recipe, "run_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(config, tmp_path / "cut")
    assert search(config, tmp_path / "cut", resume=True) == whole
