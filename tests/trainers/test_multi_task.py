"""``jsnas multitask``: a genotype for each task, the same after a stop; and a sentence for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jsnas.data.pack import pack
from jsnas.genotype import Genotype
from jsnas.task import Task
from trainers.cli import main
from trainers.state import load_newest_state
from trainers.task_differences import differences, differences_table


@pytest.fixture(scope="module")
def sources(tiny: Path) -> list[str]:
    for task in (Task("denoise", sigma=30), Task("deblock", quality=10)):
        pack(tiny / "images", tiny / f"{task.name}.h5", task)
    return [f"sr={tiny / 'data.h5'}", f"denoise-50={tiny / 'denoise.h5'}", f"deblock={tiny / 'deblock.h5'}"]


def words(tiny: Path, sources: list[str], out: Path, *more: str) -> list[str]:
    config = ["--config", str(tiny / "tiny.yaml"), "--logger.tensorboard=false", "--logger.save_checkpoint_freq=3"]
    return ["multitask", *config, "--out", str(out), *more, "--data", *sources]


@pytest.mark.filterwarnings("ignore:.*skip connections:UserWarning")  # so short a search may end in skips
def test_each_task_gets_a_genotype_and_a_stopped_search_ends_the_same(
    tiny: Path, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    budget = ["--search.budget", "parameters", "--search.budget_weight", "0.01"]
    assert main(words(tiny, sources, whole, *budget)) == 0
    assert (whole / "deblock-10" / "budget.json").is_file()
    assert "| operation 0>1 |" in capsys.readouterr().out
    labels = ("sr-x2", "denoise-50", "deblock-10")
    genotypes = {label: Genotype.load(whole / label / "genotype.json") for label in labels}
    assert [(g.task, g.scale) for g in genotypes.values()] == [("sr", 2), ("denoise", None), ("deblock", None)]
    assert json.loads((whole / "differences.json").read_text())["of"] == 3 + 1
    assert main(words(tiny, sources, cut, *budget, "--iterations", "5")) == 0  # past the warm-up of 3
    assert main(words(tiny, sources, cut, *budget, "--iterations", "8", "--resume")) == 0
    states = [load_newest_state(folder / "states") for folder in (whole, cut)]
    assert all(state is not None and state["iteration"] == 8 for state in states)
    for label in labels:
        networks = [state["tasks"][label]["network"] for state in states]  # type: ignore[index]
        assert all(value.equal(networks[1][name]) for name, value in networks[0].items())
        assert (whole / label / "genotype.json").read_bytes() == (cut / label / "genotype.json").read_bytes()
        assert (whole / label / "report.html").stat().st_size > 1000
    last = [(folder / "sr-x2" / "metrics.jsonl").read_text().splitlines()[-1] for folder in (whole, cut)]
    assert last[0] == last[1]
    assert main(words(tiny, sources[::-1], cut, *budget, "--resume")) == 2
    assert "carry it on with the same tasks in the same order" in capsys.readouterr().err
    alone = ["--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5"), "--logger.tensorboard=false"]
    assert main(["search", *alone, *budget, "--out", str(cut), "--logger.save_checkpoint_freq=3", "--resume"]) == 2
    assert "holds a run of `jsnas multitask`, which `jsnas search` cannot carry on" in capsys.readouterr().err
    trained = tmp_path / "trained"
    assert main(["train", *alone, "--inherit", str(whole / "sr-x2"), "--out", str(trained)]) == 0
    assert capsys.readouterr().err.partition("\n")[0].endswith(", 0 fresh.")
    assert main(["report", str(whole)]) == 0


@pytest.mark.parametrize(
    ("change", "more", "sentence"),
    [
        (lambda s: s[:1], [], "name at least two"),
        (lambda s: [s[0], s[0]], [], "'sr-x2' is named twice"),
        (lambda s: [s[0], s[1].partition("=")[2]], [], "write TASK=FILE.h5"),
        (lambda s: [s[0], "denoise=" + s[0].partition("=")[2]], [], "was packed for sr-x2"),
        (lambda s: [s[1], "sr-x3=" + s[0].partition("=")[2]], [], "was packed for sr-x2, but the task is sr-x3"),
        (lambda s: [s[0], s[2].replace("deblock", "deblock-1.5", 1)], [], "has no level of deblock"),
        (lambda s: s, ["--strategy.name=darts"], "searched with pc_darts"),
        (lambda s: s, ["--search.guard=stop"], "guard to warn or rollback"),
        (lambda s: s, ["--precision=16-mixed"], "on one device"),
        (lambda s: s, ["--warmup=8"], "would be warm-up"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    tiny: Path,
    sources: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: object,
    more: list[str],
    sentence: str,
) -> None:
    assert main(words(tiny, change(sources), tmp_path / "run", *more)) == 2  # type: ignore[operator]
    said = capsys.readouterr().err
    assert sentence in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_differences_are_counted_by_edge() -> None:
    found = differences(
        {
            "sr-x2": Genotype.from_edges("sr", {"0>1": "skip", "1>2": "rdb_sep"}, {"0>1": "ca"}, 2),
            "denoise-30": Genotype.from_edges("denoise", {"0>1": "skip", "0>2": "rdb_sep"}, {"0>1": "esa"}),
        }
    )
    assert (found["differing"], found["of"]) == (3, 4)
    assert differences_table(found).splitlines()[2:] == [
        "| operation 0>1 | skip | skip |  |",
        "| operation 0>2 | pruned | rdb_sep | ≠ |",
        "| operation 1>2 | rdb_sep | pruned | ≠ |",
        "| attention 0>1 | ca | esa | ≠ |",
    ]
