"""A trial trains what it says, reports as it goes, and is the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jsnas.checkpoint import load_checkpoint
from jsnas.cost import parameters_of
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.trial import run_trial

GENOTYPE = Genotype.from_names("sr", ["rdb_sep", "skip", "rdb_light"], ["ca"], 2)


def test_trial_leaves_a_run_folder_and_measures(tiny_config, tmp_path: Path):
    config = tiny_config(search__trial_iter=4)
    reports = []
    result = run_trial(config, GENOTYPE, tmp_path / "trial", lambda *report: reports.append(report))
    network = load_checkpoint(tmp_path / "trial" / "checkpoint.safetensors")
    assert network.genotype == GENOTYPE
    assert network.settings.channels == 16 and network.settings.modules == 1
    assert result.parameters == parameters_of(network)
    assert network.metadata["metrics"]["validation_psnr_db"] == result.psnr_db
    assert [iteration for iteration, _ in reports] == [2]
    assert json.loads((tmp_path / "trial" / "trial.json").read_text())["psnr_db"] == result.psnr_db
    assert 5 < result.psnr_db < 40


def test_trial_is_reproducible(tiny_config, tmp_path: Path):
    first, second = (run_trial(tiny_config(), GENOTYPE, tmp_path / name).psnr_db for name in ("a", "b"))
    assert first == second


def test_trial_refuses_a_folder_in_use(tiny_config, tmp_path: Path):
    run_trial(tiny_config(), GENOTYPE, tmp_path / "trial")
    with pytest.raises(InputError, match="already holds a run"):
        run_trial(tiny_config(), GENOTYPE, tmp_path / "trial")
