"""The guard sees a search that collapses, and keeps quiet over one that does not."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from tiny_runs import metrics_of

from jsnas.genotype import Genotype
from jsnas.strategy.alternating import DifferentiableStrategy
from trainers.guard import entropies, skip_shares
from trainers.search import search

# Beside skip only candidates that destroy the image, and a step that lets the architecture see it at once.
COLLAPSING = """
import torch
from torch import nn


class Noise(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x + 1e3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
"""


@pytest.fixture
def collapsing(tiny_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "noise_block.py").write_text(COLLAPSING)
    monkeypatch.syspath_prepend(str(tmp_path))

    def first_noise(self, size: int) -> torch.nn.Parameter:  # so that the search starts out within the limit
        return torch.nn.Parameter(torch.arange(size, 0.0, -1))

    monkeypatch.setattr(DifferentiableStrategy, "_new_parameter", first_noise)

    def make(guard: str, **more: object):
        return tiny_config(
            strategy={"name": "darts", "args": {"learning_rate": 0.5}},
            search__operations=["noise_block:Noise", "skip"],
            search__operation_nodes=4,
            search__total_iter=16,
            search__guard=guard,
            val__val_freq=0,
            **more,
        )

    return make


def test_shares_and_entropies_by_hand() -> None:
    genotype = Genotype.from_names("sr", ["skip", "rdb_sep", "skip"], ["ca"])
    assert skip_shares(genotype) == {"operation": pytest.approx(2 / 3), "attention": 0}
    found = entropies(
        {
            "operation_0_1": {"a": 0.5, "b": 0.5},
            "operation_0_2": {"a": 1.0, "b": 0.0},
            "operation_inputs_2": {0: 0.5, 1: 0.5},
            "attention_0_1": {"a": 0.25, "b": 0.75},
        }
    )
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert found == {"operation": pytest.approx(0.5), "attention": pytest.approx(quarter)}


def test_a_search_made_to_collapse_is_seen(collapsing, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="operations derived are skip connections"):
        search(collapsing("warn"), tmp_path / "run")
    written = metrics_of(tmp_path / "run")
    assert written[-1]["iteration"] == 16 and written[-1]["skip_share/operation"] == 1
    assert written[-1]["entropy/operation"] < written[0]["entropy/operation"]


def test_stop_ends_with_the_last_genotype_within_the_limit(collapsing, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the search stops"):
        genotype = search(collapsing("stop"), tmp_path / "run")
    written = metrics_of(tmp_path / "run")
    assert written[-1]["iteration"] < 16
    assert skip_shares(genotype)["operation"] <= 0.8
    healthy = [line for line in written if line["phase"] == "search" and line["skip_share/operation"] <= 0.8]
    assert healthy[-1]["genotype"] == " ".join(name for _, name in (*genotype.operations, *genotype.attentions))
    assert search(collapsing("stop"), tmp_path / "run", resume=True) == genotype  # it is done
    assert metrics_of(tmp_path / "run") == written


def test_rollback_goes_back_and_halves_the_step(collapsing, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="goes back"):
        search(collapsing("rollback"), tmp_path / "run")
    written = metrics_of(tmp_path / "run")
    assert written[-1]["iteration"] == 16 and written[-1]["rollbacks"] >= 1
    from trainers.state import load_newest_state

    state = load_newest_state(tmp_path / "run" / "states")
    rate = state["search"]["architecture_optimizer"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(0.5 / 2 ** written[-1]["rollbacks"])


def test_off_says_nothing(collapsing, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        search(collapsing("off"), tmp_path / "run")


def test_the_real_space_keeps_the_guard_quiet(tiny_config, tmp_path: Path) -> None:
    config = tiny_config(search__operation_nodes=4, search__attention_nodes=4, search__total_iter=16)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*skip connections")
        search(config, tmp_path / "run")
