"""A budget changes what is found: as an expectation, a filter and an objective."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import metrics_of

from jsnas.cost import cost_of
from jsnas.errors import InputError
from trainers.budget import budget_sentence, make_budget
from trainers.search import search
from trainers.trial import trial_network

CHEAP = {
    "search__guard": "off",
    "search__operations": ["skip", "rdb_sep", "rdb_common"],
    "search__attentions": ["skip", "esa"],
}


def parameters(config, genotype) -> int:
    return cost_of(trial_network(config, genotype)).parameters


@pytest.mark.parametrize("name", ["pc_darts", "darts", "gumbel_darts", "proxyless"])
def test_a_heavy_weight_finds_the_cheapest_network(tiny_config, tmp_path: Path, name: str) -> None:
    heavy = {"search__budget": "parameters", "search__budget_weight": 1e4}
    args = {"learning_rate": 0.3}
    config = tiny_config(
        strategy={"name": name, "args": args}, search__total_iter=12, search__weight_warmup_iters=0, **CHEAP, **heavy
    )
    genotype = search(config, tmp_path / "run")
    assert {candidate for _, candidate in (*genotype.operations, *genotype.attentions)} == {"skip"}
    report = json.loads((tmp_path / "run" / "budget.json").read_text())
    assert report["predicted"] == report["measured"] == parameters(config, genotype)


@pytest.mark.parametrize("name", ["random", "evolution", "tpe", "random_oneshot"])
def test_a_target_is_kept_by_what_is_tried(tiny_config, tmp_path: Path, name: str) -> None:
    free = make_budget(tiny_config(search__budget="parameters", **CHEAP))
    assert free is not None
    target = free.table.rest + 1500
    config = tiny_config(
        strategy={"name": name},
        search__max_trials=3,
        search__budget="parameters",
        search__budget_target=target,
        **CHEAP,
    )
    genotype = search(config, tmp_path / "run")
    assert parameters(config, genotype) <= target
    if name != "random_oneshot":
        lines = metrics_of(tmp_path / "run")
        assert len(lines) == 3 and all(line["parameters"] <= target for line in lines)


def test_a_weight_is_part_of_the_objective_of_trials(tiny_config, tmp_path: Path) -> None:
    config = tiny_config(
        strategy={"name": "random"},
        search__max_trials=4,
        search__budget="multiply_adds",
        search__budget_weight=1e3,
        **CHEAP,
    )
    genotype = search(config, tmp_path / "run")
    lines = metrics_of(tmp_path / "run")
    cheapest = min(lines, key=lambda line: line["multiply_adds"])
    assert cheapest["genotype"] == " ".join(name for _, name in (*genotype.operations, *genotype.attentions))


def test_a_target_that_nothing_meets_is_refused_at_once(tiny_config, tmp_path: Path) -> None:
    config = tiny_config(search__budget="parameters", search__budget_target=10.0)
    with pytest.raises(InputError, match=r"below the .* of the smallest network"):
        search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("search__budget", "latancy", "did you mean 'latency'"),
        ("search__budget_target", 5.0, "needs to know of what"),
        ("search__guard", "warning", "did you mean 'warn'"),
        ("search__guard_skip_share", 1.5, "share from 0 to 1"),
    ],
)
def test_settings_are_checked(tiny_config, key: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_config(**{key: value})


def test_latency_is_measured_once_and_cached(tiny_config, tmp_path: Path, monkeypatch) -> None:
    import jsnas.latency as latency

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    timed = []
    original = latency.times_of
    monkeypatch.setattr(latency, "times_of", lambda modules: timed.extend(modules) or original(modules))
    config = tiny_config(search__budget="latency", search__budget_size=[64, 64], **CHEAP)
    first = make_budget(config)
    assert len(timed) == 7  # two operations, one attention, the rest, three whole networks; a skip is free
    second = make_budget(config)
    assert len(timed) == 7 and first.table == second.table and first.table.unit == "seconds"
    make_budget(tiny_config(search__budget="latency", search__budget_size=[80, 64], **CHEAP))
    assert len(timed) == 14
    (damaged, _) = sorted((tmp_path / "cache" / "jsnas" / "latency").iterdir())
    damaged.write_text("{")
    make_budget(config)
    make_budget(tiny_config(search__budget="latency", search__budget_size=[80, 64], **CHEAP))
    assert len(timed) == 21


def test_a_latency_budget_reports_predicted_and_measured(tiny_config, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = tiny_config(search__budget="latency", search__budget_size=[64, 64], **CHEAP)
    search(config, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "budget.json").read_text())
    assert report["unit"] == "seconds" and report["predicted"] > 0 and report["measured"] > 0
    assert budget_sentence(report) in capsys.readouterr().err


def test_a_cached_table_gives_the_same_search_as_one_just_measured(tiny_config, tmp_path: Path, monkeypatch) -> None:
    import torch

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = tiny_config(search__budget="latency", search__budget_size=[64, 64], **CHEAP)
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        make_budget(config)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
