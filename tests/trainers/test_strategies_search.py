"""Every strategy searches the same space on real patches, to a genotype whose network runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from tiny_runs import metrics_of

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.lookup import network_of
from trainers.catalogue import MULTI_TRIAL, STRATEGIES
from trainers.search import search
from trainers.space import build_space
from trainers.state import load_newest_state
from trainers.strategies import make_strategy

HAS_RL = bool(importlib.util.find_spec("tianshou"))
NAMES = [
    pytest.param(n, marks=pytest.mark.skipif(n in ("enas", "rl") and not HAS_RL, reason="needs jsnas[rl]"))
    for n in STRATEGIES
]


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("name", NAMES)
def test_each_strategy_ends_in_a_genotype_whose_network_runs(tiny_config, tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    genotype = search(tiny_config(strategy={"name": name}), out)
    assert Genotype.load(out / "genotype.json") == genotype
    assert len(genotype.operations) == 3 and len(genotype.attentions) == 1
    assert "none" not in dict(genotype.operations).values()
    network = network_of(str(out)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 17, 19)).shape == (1, 3, 34, 38)
    psnrs = [line["psnr_db"] for line in metrics_of(out) if "psnr_db" in line]
    assert len(psnrs) == 2 and all(5 < p < 45 for p in psnrs)


@pytest.mark.parametrize("name", ["darts", "gumbel_darts", "proxyless", "random_oneshot", "random", "evolution"])
def test_one_seed_gives_one_search(tiny_config, tmp_path: Path, name: str) -> None:
    config = tiny_config(strategy={"name": name})
    found = [search(config, tmp_path / folder) for folder in ("a", "b")]
    assert found[0] == found[1]
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "b")


@pytest.mark.parametrize("name", ["darts", "gumbel_darts", "proxyless", "random_oneshot"])
def test_a_resumed_search_equals_one_that_never_stopped(tiny_config, tmp_path: Path, name: str) -> None:
    def config(total: int):
        # The annealing must not depend on where the search is cut.
        args = {"annealing_iters": 8} if name == "gumbel_darts" else {}
        return tiny_config(search__total_iter=total, strategy={"name": name, "args": args}, val__val_freq=0)

    search(config(8), tmp_path / "whole")
    search(config(4), tmp_path / "cut")
    search(config(8), tmp_path / "cut", resume=True)
    whole, cut = (load_newest_state(tmp_path / run / "states") for run in ("whole", "cut"))
    assert whole["iteration"] == 8 and same(whole, cut)


@pytest.mark.parametrize("name", ["random", "evolution"])
def test_a_resumed_multi_trial_search_trains_no_trial_twice(
    tiny_config, tmp_path: Path, name: str, monkeypatch
) -> None:
    import trainers.multi_trial as recipe

    trained = []

    def counting(config, genotype, out):
        trained.append(genotype)
        return original(config, genotype, out)

    original = recipe.run_trial
    monkeypatch.setattr(recipe, "run_trial", counting)
    # A population of 2 among 4 trials: the last two depend on the results of the first.
    args = {"population_size": 2, "sample_size": 1} if name == "evolution" else {}
    strategy = {"name": name, "args": args}
    whole = search(tiny_config(search__max_trials=4, strategy=strategy), tmp_path / "whole")
    assert len(trained) == 4
    search(tiny_config(search__max_trials=2, strategy=strategy), tmp_path / "cut")
    assert search(tiny_config(search__max_trials=4, strategy=strategy), tmp_path / "cut", resume=True) == whole
    assert len(trained) == 8
    assert [line["genotype"] for line in metrics_of(tmp_path / "cut")] == [
        line["genotype"] for line in metrics_of(tmp_path / "whole")
    ]


def test_a_multi_trial_search_keeps_the_best_of_its_trials(tiny_config, tmp_path: Path) -> None:
    genotype = search(tiny_config(strategy={"name": "random"}, search__max_trials=3), tmp_path / "run")
    best = max(metrics_of(tmp_path / "run"), key=lambda line: line["psnr_db"])
    assert best["genotype"] == " ".join(name for _, name in (*genotype.operations, *genotype.attentions))


def test_random_one_shot_compares_candidates_and_keeps_the_best(tiny_config, tmp_path: Path) -> None:
    genotype = search(tiny_config(strategy={"name": "random_oneshot"}, search__max_trials=4), tmp_path / "run")
    compared = [line for line in metrics_of(tmp_path / "run") if line["phase"] == "candidate"]
    assert len({line["genotype"] for line in compared}) == 4
    best = max(compared, key=lambda line: line["candidate_psnr_db"])
    assert best["genotype"] == " ".join(name for _, name in (*genotype.operations, *genotype.attentions))


def test_a_trial_that_fails_does_not_end_the_search(tiny_config, tmp_path: Path, monkeypatch) -> None:
    import trainers.multi_trial as recipe

    original = recipe.run_trial

    def failing_once(config, genotype, out):
        if out.name == "0001":
            out.mkdir(parents=True)
            (out / "config.yaml").touch()
            raise InputError("The trial's loss became nan by iteration 1.")
        return original(config, genotype, out)

    monkeypatch.setattr(recipe, "run_trial", failing_once)
    with pytest.warns(UserWarning, match="Trial 1 failed"):
        search(tiny_config(strategy={"name": "random"}, search__max_trials=2), tmp_path / "run")
    first, second = metrics_of(tmp_path / "run")
    assert "nan" in first["failed"] and "psnr_db" in second


def test_nnis_own_strategy_runs_by_its_path(tiny_config, tmp_path: Path) -> None:
    config = tiny_config(strategy={"name": "nni.nas.strategy:Random", "args": {"seed": 3}})
    assert len(search(config, tmp_path / "random").operations) == 3
    config = tiny_config(strategy={"name": "nni.nas.strategy:DARTS", "args": {"arc_learning_rate": 0.01}})
    assert len(search(config, tmp_path / "darts").operations) == 3
    with pytest.raises(InputError, match="cannot be carried on"):
        search(config, tmp_path / "darts", resume=True)


@pytest.mark.parametrize(
    ("name", "args", "inputs", "message"),
    [
        ("dart", {}, None, "did you mean 'darts'"),
        ("darts", {"partial": 4}, None, "Unknown setting of strategy 'darts' 'partial'"),
        ("darts", {"second_order": 1}, None, "a value such as False"),
        ("gumbel_darts", {"temperature": [0.1, 1.0]}, None, "give a fall"),
        ("evolution", {"population": 5}, None, "did you mean 'population_size'"),
        ("evolution", {"population_size": 5, "sample_size": 6}, None, "does not take its settings"),
        ("tpe", {}, 1, "'tpe' of NNI cannot choose inputs"),
        ("proxyless", {}, 2, "runs only the first of several inputs"),
        ("nni.nas.strategy:Randon", {}, None, "cannot be imported"),
        ("nni.nas.strategy:GridSearch", {"shufle": True}, None, "did you mean 'shuffle'"),
        ("nni.nas.strategy:ENAS", {}, None, "use --strategy enas"),
        ("torch.nn:Linear", {}, None, "no strategy of NNI"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(tiny_config, name, args, inputs, message) -> None:
    config = tiny_config(strategy={"name": name, "args": args}, search__inputs=inputs, search__operation_nodes=4)
    with pytest.raises(InputError, match=message) as error:
        make_strategy(config)
    assert str(error.value).count(". ") == 0 and str(error.value).endswith((".", "?"))


@pytest.mark.skipif(HAS_RL, reason="tianshou is installed")
@pytest.mark.parametrize("name", ["enas", "rl"])
def test_what_needs_a_package_names_the_extra(tiny_config, name: str) -> None:
    with pytest.raises(InputError, match=r"pip install jsnas\[rl\]"):
        make_strategy(tiny_config(strategy={"name": name}))


def test_none_is_a_candidate_only_where_the_derivation_leaves_it_out(tiny_config) -> None:
    for name in STRATEGIES:
        space = build_space(tiny_config(strategy={"name": name}))
        found = any("none" in m.values for label, m in space.simplify().items() if label.startswith("operation"))
        assert found == (name not in MULTI_TRIAL and name not in ("enas", "random_oneshot"))
