"""``jsnas train --inherit``: what it starts from, what it writes down, and a sentence for what cannot be inherited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from jsnas.checkpoint import load_checkpoint
from trainers.cli import main
from trainers.state import load_newest_state


@pytest.fixture(scope="module")
def searched(tiny: Path) -> Path:
    out = tiny / "searched"
    assert main([*words("search", tiny, out), "--warmup", "3"]) == 0
    return out


def words(command: str, tiny: Path, out: Path) -> list[str]:
    files = ["--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5"), "--out", str(out)]
    return [command, *files, "--logger.tensorboard=false"]


def test_a_training_starts_from_the_supernet_and_says_so(
    tiny: Path, searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # So small a step moves no weight: the checkpoint is the start.
    still = ["--iterations", "1", "--train.learning_rate", "1e-30", "--train.ema_decay", "0"]
    assert main([*words("train", tiny, tmp_path / "a"), "--inherit", str(searched), *still]) == 0
    assert "inherited" in capsys.readouterr().err
    state = load_newest_state(searched / "states")
    assert state is not None
    trained = load_checkpoint(tmp_path / "a" / "checkpoint.safetensors").state_dict()
    for name in ("head.weight", "tail.weight", "gather.bias", "fusion.reduce.weight"):
        assert torch.equal(trained[name], state["network"][f"network.{name}"])
    assert (tmp_path / "a" / "genotype.json").read_bytes() == (searched / "genotype.json").read_bytes()
    record = json.loads((tmp_path / "a" / "inheritance.json").read_text())
    names = [name for way in ("copied", "widened", "repeated", "fresh") for name in record[way]]
    assert sorted(names) == sorted(trained)
    assert record["summary"] in json.loads((tmp_path / "a" / "run.json").read_text())["start"]


def test_a_training_that_is_carried_on_needs_its_search_no_more(tiny: Path, searched: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    inherit = [*words("train", tiny, tmp_path / "whole"), "--inherit", str(searched)]
    assert main(inherit) == 0
    gone.symlink_to(searched)
    cut = [*words("train", tiny, tmp_path / "cut"), "--inherit", str(gone), "--train.genotype", str(searched)]
    assert main([*cut, "--iterations", "4"]) == 0
    gone.unlink()
    assert main([*cut, "--iterations", "8", "--resume"]) == 0
    ends = [load_checkpoint(tmp_path / name / "checkpoint.safetensors").state_dict() for name in ("whole", "cut")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_what_cannot_be_inherited_is_one_sentence(
    tiny: Path, searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = ["--strategy", "random", "--search.max_trials", "1", "--search.trial_iter", "1", "--strategy.args", "{}"]
    assert main([*words("search", tiny, tmp_path / "trials"), *trials]) == 0
    trained = tmp_path / "trained"
    assert main([*words("train", tiny, trained), "--genotype", "rb-ca", "--iterations", "1"]) == 0
    capsys.readouterr()
    genotype = ["--genotype", str(searched)]
    for source, more, sentence in (
        (tmp_path / "trials", [], "holds no supernet to inherit from"),
        (trained, genotype, "is no search, so it holds no supernet"),
        (tmp_path, genotype, "is no run folder of a search"),
        (searched, ["--network.channels", "12", "--network.inner_channels", "5"], "8 and 4; give the same sizes"),
    ):
        out = tmp_path / "refused"
        assert main([*words("train", tiny, out), "--inherit", str(source), *more]) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.startswith("jsnas: ") and len(said.splitlines()) == 1
        assert not out.exists()
