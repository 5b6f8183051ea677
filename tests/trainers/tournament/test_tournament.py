"""The tournament on planted results: luck is called luck, a better candidate is named; and a real one of seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import trainers.bench as bench_module
import trainers.tournament.contestants as contestants_module
from jsnas.bench import Bench, load_table
from jsnas.data.pack import pack
from jsnas.errors import DivergedError, InputError
from jsnas.genotype import Genotype
from jsnas.task import Task
from trainers.bench import trained
from trainers.cli import main
from trainers.compare import FRESH_SEED
from trainers.config import Config
from trainers.config_file import load_config
from trainers.statistics import NO_DIFFERENCE
from trainers.tournament.contestants import Contestant, Entry, contestants_of, longer_config, play
from trainers.tournament.page import write_pages
from trainers.tournament.paper_order import paper_order
from trainers.tournament.record import entries_of
from trainers.tournament.run import tournament
from trainers.tournament.verdict import judge

GENOTYPE = Genotype.from_names("sr", ["skip"] * 3, ["ca"], 2)


def config_of(tiny: Path, contestants: str, *more: str) -> Config:
    words = [f"--tournament.contestants={contestants}", "--search.trial_iter=2", "--search.total_iter=6"]
    return load_config(tiny / "tiny.yaml", [f"--datasets.path={tiny / 'data.h5'}", *words, *more])


def planted(seed: int, gains: dict[str, float]):
    """Entries of a space where a contestant is worth its gain in dB, beside shared and own noise."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.2, 100)

    def play(contestant: Contestant, number: int) -> Entry:
        psnr = 30 + shared[number] + gains.get(contestant.name, 0.0) + rng.normal(0, 0.05)
        return Entry(contestant.name, number, GENOTYPE, 0.0, psnr - 1, psnr, 1000, 10**9, 0.01)

    return play


def verdicts(tiny: Path, tmp_path: Path, gains: dict[str, float], repeats: int) -> list[str]:
    config = config_of(tiny, "[random, luck, singles]", "--tournament.seeds=5")
    return [judge(tournament(config, tmp_path / str(k), play_one=planted(k, gains))).verdict for k in range(repeats)]


def test_a_flat_space_shows_no_difference(tiny: Path, tmp_path: Path) -> None:
    found = verdicts(tiny, tmp_path, {}, 20)
    assert sum(words.startswith(f"Against random: {NO_DIFFERENCE}") for words in found) >= 19


def test_one_better_candidate_is_named(tiny: Path, tmp_path: Path) -> None:
    found = verdicts(tiny, tmp_path, {"all rdb_sep": 0.5}, 20)
    assert sum("all rdb_sep is better than random" in words for words in found) >= 19
    assert not any("worse" in words for words in found)


def test_a_worse_one_is_called_worse(tiny: Path, tmp_path: Path) -> None:
    assert "luck is worse than random" in verdicts(tiny, tmp_path, {"luck": -1.0}, 1)[0]


def test_failed_trainings_are_counted_and_left_out(tiny: Path, tmp_path: Path) -> None:
    def play(contestant: Contestant, number: int) -> Entry:
        fails = contestant.name == "luck" and number == 1
        psnr = math.nan if fails else 30.0 + number
        return Entry(contestant.name, number, GENOTYPE, 0.0, psnr, psnr, 1000, 10**9, 0.01, "it diverged" * fails)

    content = tournament(config_of(tiny, "[random, luck]"), tmp_path / "out", play_one=play)
    assert json.loads((tmp_path / "out" / "tournament.json").read_text()) == content
    judgement = judge(content)
    luck = next(s for s in judgement.standings if s.name == "luck")
    assert (luck.failed, luck.psnr_db.n, luck.psnr_db.mean) == (1, 4, 32.25)
    assert luck.against_reference is not None and luck.against_reference.mean == 0
    assert math.isnan(entries_of(content)[3].psnr_db)


def test_the_front_holds_those_that_nobody_beats(tiny: Path, tmp_path: Path) -> None:
    figures = {"random": (30.0, 3), "luck": (31.0, 2), "all rdb_sep": (29.0, 1), "all rdb_dil": (30.5, 4)}

    def play(contestant: Contestant, number: int) -> Entry:
        psnr, cost = figures.get(contestant.name, (20.0, 9))
        return Entry(contestant.name, number, GENOTYPE, 0.0, psnr, psnr, 1000, cost * 10**9, 0.01)

    content = tournament(config_of(tiny, "[random, luck, singles]"), tmp_path / "out", play_one=play)
    judgement = judge(content)
    assert {s.name for s in judgement.standings if s.on_front} == {"luck", "all rdb_sep"}
    assert judgement.standings[0].name == "luck"
    write_pages(content, tmp_path / "out")
    svg = ElementTree.parse(tmp_path / "out" / "tournament.svg").getroot()
    assert "on the Pareto front: luck, all rdb_sep." in svg.get("aria-label", "")
    page = (tmp_path / "out" / "tournament.html").read_text()
    assert judgement.verdict.split(";")[0] in page and "http://" not in page.replace("http://www.w3.org", "")
    rows = (tmp_path / "out" / "tournament.md").read_text()
    assert "| luck | 31.00 [31.00, 31.00] | +1.00 [+1.00, +1.00] | yes |" in rows


def test_a_real_one_is_carried_on_without_doing_anything_twice(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tournament", "random", "pc_darts", "luck", "--config", str(tiny / "tiny.yaml")]
    words += ["--data", str(tiny / "data.h5"), "--budget", "6", "--search.trial_iter", "2", "--train.total_iter", "4"]
    words += ["--tournament.test", "5-5", "--out", str(tmp_path / "run")]
    assert main([*words, "--seeds", "1"]) == 0
    first = json.loads((tmp_path / "run" / "tournament.json").read_text())["entries"]
    rows, _ = load_table(tmp_path / "run" / "bench")
    assert {(row.iterations, row.seed) for row in rows} >= {(2, 2 * FRESH_SEED), (4, FRESH_SEED)}
    assert main([*words, "--seeds", "2", "--resume"]) == 0
    second = json.loads((tmp_path / "run" / "tournament.json").read_text())["entries"]
    assert second[:3] == first and len(second) == 6  # seconds of searches too: they were looked up
    assert "Kendall's tau" in capsys.readouterr().out


def test_the_longer_training_has_the_networks_size_and_the_test_images(tiny: Path) -> None:
    config = config_of(tiny, "[random, luck]", "--network.channels=16", "--tournament.test=4-4")
    longer = longer_config(config)
    assert (longer.search.channels, longer.search.trial_iter) == (16, config.train.total_iter)
    assert longer.datasets.validation == "4-4"


@pytest.mark.parametrize(
    ("contestants", "message"),
    [
        ("[random, pcdarts]", r"Unknown contestant .*'pcdarts'; did you mean 'pc_darts'"),
        ("[random, random]", r"called 'random'; name each once"),
        ("[luck, singles]", r"The reference 'random' does not take part"),
        ("[random]", r"Only 'random' takes part"),
    ],
)
def test_wrong_contestants_are_said_before_anything_starts(tiny: Path, contestants: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        contestants_of(config_of(tiny, contestants))


def test_a_surrogate_is_asked_in_place_of_trainings(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5")]
    table = tmp_path / "bench"
    assert main(["bench", "fill", str(table), *settings, "--genotypes", "24", "--iterations", "1"]) == 0
    assert len(Bench(table).rows()) == 24
    assert main(["bench", "export", str(table), str(tmp_path / "t.csv")]) == 0
    assert main(["bench", "surrogate", str(tmp_path / "t.csv")]) == 0
    assert "24 trainings of 24 genotypes" in capsys.readouterr().out
    search = [
        "search",
        *settings,
        "--strategy",
        "random",
        "--evaluator",
        "surrogate",
        "--bench",
        str(tmp_path / "t.csv"),
    ]
    few = ["--search.operations=[rdb_sep, rdb_dil]", "--search.attentions=[ca, pa]", "--search.max_trials=9"]
    assert main([*search, *few, "--out", str(tmp_path / "found")]) == 0
    assert (tmp_path / "found" / "genotype.json").is_file()
    assert not (tmp_path / "found" / "trials").exists()  # nothing was trained
    capsys.readouterr()
    assert (
        main(["search", *settings, "--evaluator", "surrogate", "--bench", str(table), "--out", str(tmp_path / "x")])
        == 2
    )
    assert "trains a supernet" in capsys.readouterr().err
    assert main(["search", *settings, "--evaluator", "surrogate", "--out", str(tmp_path / "x")]) == 2
    assert "give both search.evaluator surrogate and search.bench" in capsys.readouterr().err


def test_an_ablation_trains_the_papers_rows_and_sets_the_orders_side_by_side(tiny: Path, tmp_path: Path) -> None:
    pack(tiny / "images", tmp_path / "x4.h5", Task("sr", 4))
    words = [f"--datasets.path={tmp_path / 'x4.h5'}", "--datasets.patch_size=8", "--datasets.weights=1-3"]
    config = load_config("ablation-4", [*words, "--datasets.architecture=4-4", "--datasets.validation=5-5"])
    found = {c.name: (c.config.network.fusion_kernels, c.genotype) for c in contestants_of(config)}
    assert {name: kernels for name, (kernels, _) in found.items()} == {
        "baseline": None,
        "JSM": None,
        "CSFM": (3, 3),
        "JSM and CSFM": (3, 3),
    }
    assert found["baseline"][1] == found["CSFM"][1] != found["JSM"][1] == found["JSM and CSFM"][1]
    gains = {"JSM": 0.3, "CSFM": 0.4, "JSM and CSFM": 0.6}  # the paper has JSM above CSFM
    content = tournament(config, tmp_path / "out", play_one=planted(0, gains))
    order = paper_order(judge(content), "4")
    write_pages(content, tmp_path / "out")
    assert str(order) in (tmp_path / "out" / "tournament.md").read_text()
    assert list(order.ours) == ["JSM and CSFM", "CSFM", "JSM", "baseline"]
    assert list(order.paper) == ["JSM and CSFM", "JSM", "CSFM", "baseline"]
    assert order.paper["baseline"] == pytest.approx((31.60 + 28.27) / 2)  # Table 4
    assert order.swapped == [("JSM", "CSFM")] and order.tau == pytest.approx(4 / 6)
    assert "the paper has JSM over CSFM" in str(order)


def test_entries_are_played_as_nni_trials(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tournament", "random", "luck", "--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5")]
    words += ["--budget", "2", "--search.trial_iter", "2", "--train.total_iter", "2", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "run"), "--nni", "--port", "0"]) == 0
    assert "contestant luck, seed 0" in capsys.readouterr().out  # a trial of NNI's
    (folder,) = (tmp_path / "run").glob("experiment-*")
    trials = json.loads((folder / "experiment.json").read_text())["trials"]
    entries = entries_of(json.loads((tmp_path / "run" / "tournament.json").read_text()))
    assert {t["settings"]["contestant"]: t["psnr_db"] for t in trials} == {e.contestant: e.psnr_db for e in entries}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tournament.test=9-9"], r"In tournament\.test: .*9-9 are not within 1-5"),
        (["--datasets.patch_size=60"], r"patch"),
        (["--datasets.path=null"], r"No data were given"),
    ],
)
def test_data_that_do_not_fit_are_said_before_a_folder_is_made(
    tiny: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tournament(config_of(tiny, "[random, luck]", *more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_that_diverges_is_an_entry_and_is_not_searched_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def diverge(config: Config, out: Path) -> Genotype:
        searched.append(out.name)
        out.mkdir(parents=True)
        raise DivergedError("The loss became NaN in iteration 3; lower the learning rate.")

    monkeypatch.setattr(contestants_module, "search", diverge)
    config = config_of(tiny, "[luck, random]", "--tournament.reference=luck", "--tournament.seeds=1")
    content = tournament(config, tmp_path / "run")
    assert "diverged and are left out: random" in judge(content).verdict
    write_pages(content, tmp_path / "run")
    assert tournament(config, tmp_path / "run", resume=True)["entries"] == content["entries"]
    assert searched == ["random-0"]


def test_a_table_keeps_no_failure_that_is_not_the_trainings_own(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, bench = config_of(tiny, "[random, luck]"), Bench(tmp_path / "bench")
    for error in (InputError("The disk is full."), DivergedError("The loss became NaN in iteration 1; lower it.")):
        with monkeypatch.context() as patch:
            patch.setattr(bench_module, "run_trial", lambda *args, error=error: (_ for _ in ()).throw(error))
            if isinstance(error, DivergedError):
                assert math.isnan(trained(config, GENOTYPE, 0, bench).psnr_db)
            else:
                with pytest.raises(InputError, match="disk is full"):
                    trained(config, GENOTYPE, 0, bench)
    assert [row.failed for row in bench.rows()] == ["The loss became NaN in iteration 1; lower it."]


@pytest.mark.parametrize(
    "change",
    [
        {"data": "other"},
        {"train.learning_rate": 1e-3},
        {"val.max_side": 32},
        {"search.total_iter": 4},
        {"strategy.args.partial": 1},
    ],
)
def test_a_search_of_other_settings_is_another_search(tiny: Path, tmp_path: Path, change: dict[str, object]) -> None:
    config = config_of(tiny, "[pc_darts, luck]", "--tournament.reference=luck", "--tournament.seeds=1")
    tournament(config, tmp_path / "run")
    found = tmp_path / "run" / "searches" / "pc_darts-0" / "found.json"
    before = found.stat().st_ino
    words = [f"--{key}={value}" for key, value in change.items() if key != "data"]
    if "data" in change:
        pack(sorted((tiny / "images").iterdir(), reverse=True), tmp_path / "other.h5", Task("sr", 2))
        words = [f"--datasets.path={tmp_path / 'other.h5'}"]
    more = ["--tournament.reference=luck", "--tournament.seeds=1", *words]
    other = config_of(tiny, "[pc_darts, luck]", *more)
    play(contestants_of(other)[0], 0, tmp_path / "run", Bench(tmp_path / "run" / "bench"))
    assert found.stat().st_ino != before
    after = found.stat().st_ino
    play(contestants_of(other)[0], 0, tmp_path / "run", Bench(tmp_path / "run" / "bench"))
    assert found.stat().st_ino == after


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.pop("settings"),
        lambda c: c["settings"].pop("modules"),
        lambda c: c["settings"].update(modules="2"),
        lambda c: c.update(format="x"),
        lambda c: c["entries"][0].update(psnr_db="abc"),
        lambda c: c["entries"][0].update(psnr_db=10**400),
        lambda c: c["entries"][0].update(seed=[1]),
        lambda c: c["entries"][0].update(genotype={"a": 1}),
        lambda c: c["entries"].append(3),
        lambda c: c["settings"].update(reference="nobody"),
    ],
)
def test_a_damaged_file_of_a_tournament_is_said(tiny: Path, tmp_path: Path, damage: Callable[[dict], object]) -> None:
    content = tournament(config_of(tiny, "[random, luck]"), tmp_path / "run", play_one=planted(0, {}))
    damage(content)
    with pytest.raises(InputError):
        judge(content)
