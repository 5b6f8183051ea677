"""The parts of an experiment without NNI's manager: words, trials between strategy and manager, plans, results."""

from __future__ import annotations

import json
import signal
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jsnas.cost import cost_of
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.sample import genotype_from_sample
from trainers.config_file import load_config
from trainers.experiment.advisor import Trials
from trainers.experiment.engine import explore
from trainers.experiment.plan import make_plan, nni_config, resolved, with_settings
from trainers.experiment.trial_main import main as trial_main
from trainers.experiment.trial_worker import FollowedMetrics
from trainers.experiment.trials import TrialTable, trial_folder_name
from trainers.experiment.words import from_words, in_words
from trainers.trial import trial_network

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
EDGES = st.tuples(st.integers(0, 11), st.integers(1, 11))
PARTS = st.sampled_from(["operation", "attention"])


@given(
    st.dictionaries(st.tuples(PARTS, EDGES), NAMES),
    st.dictionaries(st.tuples(PARTS, st.integers(1, 11)), st.lists(st.integers(0, 11), min_size=1)),
)
def test_words_name_the_sample(edges: dict[Any, str], inputs: dict[Any, list[int]]) -> None:
    sample: dict[str, Any] = {f"{part}_{i}_{j}": name for (part, (i, j)), name in edges.items()}
    sample |= {f"{part}_inputs_{node}": kept for (part, node), kept in inputs.items()}
    words = in_words(sample)
    assert from_words(json.loads(json.dumps(words))) == sample
    assert all(isinstance(value, str) for value in words.values())


def test_words_as_they_are_shown() -> None:
    sample = {"operation_0_1": "rdb_common", "attention_1_2": "esa", "operation_inputs_3": [0, 2]}
    assert in_words(sample) == {
        "operation 0>1": "rdb_common",
        "attention 1>2": "esa",
        "operation inputs of 3": "0 2",
    }


@pytest.mark.parametrize("key", ["operation", "operation 0", "x>y", "", "operation 0>1>2", "operation a>b"])
def test_other_words_are_told(key: str) -> None:
    with pytest.raises(InputError, match="none of a search space"):
        from_words({key: "skip"})


class Manager:
    """What NNI's manager would see."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, dict[str, str]]] = []
        self.trials = Trials(lambda number, words: self.sent.append((number, words)))
        self.told: list[tuple[str, float | None]] = []

    def submit(self, name: str) -> None:
        self.trials.submit({"operation_0_1": name}, lambda score: self.told.append((name, score)))


def test_trials_wait_for_room_and_results_find_their_models() -> None:
    manager = Manager()
    assert not manager.trials.has_room()
    for name in "abc":
        manager.submit(name)
    assert manager.sent == []
    manager.trials.allow(2)
    assert [(number, words["operation 0>1"]) for number, words in manager.sent] == [(0, "a"), (1, "b")]
    manager.trials.finish(1, 30.0)
    manager.trials.finish(1, None)  # the end of a trial is told after its result
    manager.trials.finish(0, None)
    manager.trials.finish(None, 20.0)  # a trial that the user added on the page
    assert manager.told == [("b", 30.0), ("a", None)]
    manager.trials.allow(2)
    assert [number for number, _ in manager.sent] == [0, 1, 2]
    assert manager.trials.has_room()


def test_after_a_resume_known_trials_are_not_run_again() -> None:
    manager = Manager()
    manager.trials.know({"operation 0>1": "a"}, 25.0)
    manager.trials.expect(4, {"operation 0>1": "b"})
    manager.trials.expect(5, {"operation 0>1": "c"})
    manager.trials.allow(1)
    manager.submit("a")
    assert manager.told == [("a", 25.0)]
    manager.trials.finish(5, 27.0)  # done before the strategy comes to it
    manager.submit("b")
    manager.submit("c")
    assert manager.told == [("a", 25.0), ("c", 27.0)]
    manager.trials.finish(4, 26.0)
    assert manager.told[-1] == ("b", 26.0)
    assert manager.sent == []
    manager.submit("d")
    assert manager.sent == [(6, {"operation 0>1": "d"})]  # a number that was not used before


def _config(tiny: Path, **changes: Any) -> Any:
    content = yaml.safe_load((tiny / "tiny.yaml").read_text())
    content["datasets"]["path"] = str(tiny / "data.h5")
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value}
    (tiny / "changed.yaml").write_text(yaml.safe_dump(content))
    return resolved(load_config(tiny / "changed.yaml"))


@pytest.mark.parametrize(
    ("experiment", "trials", "values"),
    [
        ({}, 1, {"manual_seed": [0]}),
        ({"max_trials": 3}, 3, {"manual_seed": [0, 1, 2]}),
        ({"sweep": {"manual_seed": [5, 6], "strategy.args.partial": [1, 2, 4]}}, 6, None),
        ({"sweep": {"manual_seed": [5, 6]}, "max_trials": 9}, 2, None),  # the grid has no more
        ({"sweep": {"manual_seed": [5, 6]}, "max_trials": 9, "tuner": "tpe"}, 9, None),
    ],
)
def test_plans_of_one_shot_searches(experiment: dict[str, Any], trials: int, values: Any, tiny: Path) -> None:
    config = _config(tiny, experiment=experiment)
    plan = make_plan(config, tiny / "run")
    assert (plan.kind, plan.max_trials) == ("search", trials)
    expected = values or experiment["sweep"]
    assert plan.search_space == {key: {"_type": "choice", "_value": v} for key, v in expected.items()}


def test_a_range_needs_a_number_of_trials(tiny: Path) -> None:
    sweep = {"search.learning_rate": {"_type": "loguniform", "_value": [1e-4, 1e-2]}}
    with pytest.raises(InputError, match="--max-trials"):
        make_plan(_config(tiny, experiment={"sweep": sweep, "tuner": "tpe"}), tiny)
    plan = make_plan(_config(tiny, experiment={"sweep": sweep, "tuner": "tpe", "max_trials": 4}), tiny)
    assert plan.tuner == {"name": "TPE", "classArgs": {"optimize_mode": "maximize", "seed": 0}}


def test_the_plan_of_a_multi_trial_search_shows_the_candidates(tiny: Path) -> None:
    config = _config(tiny, strategy={"name": "evolution", "args": {}}, experiment={"max_trials": 7})
    plan = make_plan(config, tiny / "run")
    assert (plan.kind, plan.max_trials, config.search.max_trials) == ("network", 7, 7)
    assert set(plan.search_space) == {"operation 0>1", "operation 0>2", "operation 1>2", "attention 0>1"}
    assert "rdb_common" in plan.search_space["operation 0>1"]["_value"]
    content = nni_config(plan, config, tiny / "run")
    assert content["maxTrialNumber"] == 7
    assert content["trialCommand"].startswith("exec ")
    assert Path(content["experimentWorkingDirectory"]).is_relative_to(tiny / "run")


class Bench:
    """A manager that runs the config's strategy for some trials, which end soon, with 20 dB or the first as failed."""

    def __init__(self, config: Any, trials: int, room: int, fail: int = 0) -> None:
        self.config, self.wanted, self.left, self.fail = config, trials, trials - room, fail
        self.parameters: list[int] = []
        self.trials = Trials(self._run)
        self.trials.allow(room)

    def _run(self, number: int, words: dict[str, str]) -> None:
        genotype = genotype_from_sample(from_words(words), "sr", 2)
        self.parameters.append(cost_of(trial_network(self.config, genotype)).parameters)
        threading.Timer(0.01, self._finish, (number,)).start()

    def _finish(self, number: int) -> None:
        self.trials.finish(number, None if number < self.fail else 20.0)
        if self.left:
            self.left -= 1
            self.trials.allow(1)

    def explore(self, folder: Path) -> list[int]:
        """The parameters of the trials' networks."""
        (folder / "config.yaml").write_text(self.config.to_yaml())
        thread = threading.Thread(target=explore, args=(str(folder / "config.yaml"), self.trials), daemon=True)
        thread.start()
        seen, since = 0, time.monotonic()  # a filter may leave too few networks: then nothing comes any more
        while len(self.parameters) < self.wanted and thread.is_alive() and time.monotonic() < since + 20:
            if len(self.parameters) > seen:
                seen, since = len(self.parameters), time.monotonic()
            time.sleep(0.02)
        return self.parameters


FEW = {"operations": ["skip", "rdb_sep", "rdb_common"], "attentions": ["skip", "esa"]}
EVOLUTION = {"population_size": 4, "sample_size": 4, "dedup": False, "mutation_prob": 0.3}


def test_a_budget_is_a_filter_and_an_objective_of_trials(tiny: Path, tmp_path: Path) -> None:
    def tried(**budget: Any) -> list[int]:
        strategy = {"name": "evolution", "args": EVOLUTION}
        config = _config(tiny, strategy=strategy, search={**FEW, "budget": "parameters", **budget})
        assert make_plan(config, tmp_path).kind == "network"
        return Bench(config, trials=30, room=1).explore(tmp_path)

    free = tried(budget_weight=1e3)
    assert len(free) == 30
    assert statistics.mean(free[-10:]) < statistics.mean(free[:4])
    target = sorted(free)[15]
    assert max(tried(budget_target=float(target))) <= target < max(free)


@pytest.mark.parametrize(("room", "fail"), [(1, 6), (9, 0)])
def test_evolution_goes_on_without_a_parent(tiny: Path, tmp_path: Path, room: int, fail: int) -> None:
    config = _config(tiny, strategy={"name": "evolution", "args": EVOLUTION}, search=FEW)
    assert len(Bench(config, 14, room, fail).explore(tmp_path)) == 14


def test_a_trial_gets_its_settings_with_their_types(tiny: Path) -> None:
    config = with_settings(
        _config(tiny), {"strategy.args.partial": 4, "search.betas": [0.5, 0.9], "precision": "32-true"}
    )
    assert config.strategy.args["partial"] == 4
    assert config.search.betas == (0.5, 0.9)
    with pytest.raises(InputError, match="belongs to the whole experiment"):
        with_settings(config, {"experiment.port": 1})


def test_results_are_ranked_and_failures_give_their_reason(tmp_path: Path) -> None:
    genotypes = [Genotype.from_edges("denoise", {"0>1": name}, {}) for name in ("skip", "rdb_common")]
    jobs = []
    for number, genotype in enumerate(genotypes):
        folder = tmp_path / "trials" / trial_folder_name(number, f"t{number}")
        folder.mkdir(parents=True)
        content = {"psnr_db": 30.0 - number, "parameters": 10, "multiply_adds": 20, "genotype": genotype.to_dict()}
        (folder / "result.json").write_text(json.dumps(content))
        jobs.append({"trialJobId": f"t{number}", "sequenceId": number, "status": "SUCCEEDED"})
    log = tmp_path / "nni" / "id" / "environments" / "local-env" / "trials" / "t2" / "trial.stderr"
    log.parent.mkdir(parents=True)
    log.write_text("search: 4/8 it\njsnas: The loss became nan.\nsearch: 5/8 it\n")
    jobs += [{"trialJobId": "t2", "sequenceId": 2, "status": "FAILED"}, {"trialJobId": "t3", "status": "RUNNING"}]

    table = TrialTable(tmp_path / "trials")
    assert len(table.update(jobs)) == 3
    assert table.update(jobs) == []
    assert [trial["id"] for trial in table.ranked()] == ["t0", "t1", "t2"]
    assert table.ranked()[2]["reason"] == "The loss became nan."
    assert table.best_genotype() == genotypes[0]

    penalised = TrialTable(tmp_path / "trials", lambda genotype: 5.0 if genotype == genotypes[0] else 0.0)
    penalised.update(jobs)
    assert penalised.best_genotype() == genotypes[1]


def test_a_sweep_is_of_one_shot_searches(tiny: Path) -> None:
    with pytest.raises(InputError, match="one-shot"):
        make_plan(_config(tiny, strategy={"args": {}}, experiment={"sweep": {"strategy.name": ["darts", "tpe"]}}), tiny)


def test_the_psnr_of_a_search_is_followed_as_it_is_written(tmp_path: Path) -> None:
    journal = tmp_path / "metrics.jsonl"
    told: list[tuple[int, float]] = []
    with FollowedMetrics(journal, lambda iteration, psnr_db: told.append((iteration, psnr_db))) as followed:
        journal.write_text('{"iteration": 2, "loss": 1.0}\n{"iteration": 4, "psnr_db": 20.5}\n{"iteration": 6, "ps')
        end = time.monotonic() + 30
        while not told and time.monotonic() < end:
            time.sleep(0.05)
        assert told == [(4, 20.5)]
        with journal.open("a") as file:
            file.write('nr_db": 21.5}\n{"iteration": 8, "psnr_db": "nan"}\n')
    assert told == [(4, 20.5), (6, 21.5)]
    assert followed.psnr_db == 21.5
    with journal.open("a") as file:
        file.write('{"iteration": 8, "candidate_psnr_db": 23.0}\n{"iteration": 8, "candidate_psnr_db": 22.0}\n')
    with FollowedMetrics(journal, lambda iteration, psnr_db: None) as followed:
        pass
    assert followed.psnr_db == 23.0


def test_a_killed_worker_is_told_in_the_trials_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "trainers" / "experiment"
    fake.mkdir(parents=True)
    (fake.parent / "__init__.py").touch()
    (fake / "__init__.py").touch()
    (fake / "trial_worker.py").write_text("import os, sys\nos.kill(os.getpid(), int(sys.argv[1]))\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert trial_main(["9"]) == 137
        assert "killed by SIGKILL; the machine may have run out of memory" in capfd.readouterr().err
        assert trial_main(["11"]) == 139
        assert "killed by SIGSEGV." in capfd.readouterr().err
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
