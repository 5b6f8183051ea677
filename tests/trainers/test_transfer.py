"""The transfer matrix: what it says of hand-made figures, and that finished trainings are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers import transfer as module
from trainers.config import Config
from trainers.transfer import judge, transfer, transfer_table
from trainers.trial import run_trial

FOUND = {
    "a": Genotype.from_names("sr", ["rdb_sep", "skip", "skip"], ["ca"], 2),
    "b": Genotype.from_names("denoise", ["skip", "skip", "skip"], ["pa"]),
    "c": Genotype.from_names("sr", ["rdb_sep", "skip", "skip"], ["ca"], 3),  # a's, at another scale
}


def test_the_matrix_says_what_its_figures_say() -> None:
    # On a: b less a is -1, -2, -3, so -2 with a standard error of 1/sqrt(3). On b: a less b is 0, 1, -1.
    found = judge({"a": {"a": [30.0, 31, 32], "b": [29.0, 29, 29]}, "b": {"a": [20.0, 21, 19], "b": [20.0, 20, 20]}})
    gap = found.against_own["a"]["b"]
    reach = 4.302653 / math.sqrt(3)  # Student's t of two degrees of freedom, 97.5 %
    assert (gap.mean, gap.low, gap.high) == pytest.approx((-2, -2 - reach, -2 + reach), abs=1e-5)
    assert found.against_own["b"]["a"].mean == 0
    assert found.own_less_others.mean == pytest.approx((0.5 + 0.5 + 2.0) / 3)
    assert found.shown == set() and "no difference shown" in found.verdict
    assert "| a | 31.00 | own | -2.00 [-4.48, +0.48], no difference shown |" in transfer_table(found)


def test_structures_that_pay_are_shown_and_equal_ones_are_not() -> None:
    noise = [0.01, -0.02, 0.03, 0.0, -0.01]
    pays = judge({on: {of: [30 + (on == of) + n * (on != of) for n in noise] for of in "abc"} for on in "abc"})
    assert len(pays.shown) == 6 and pays.verdict.startswith("A task's own genotype is better than")
    equal = judge({on: {of: [30.1 + n for n in noise] for of in "abcd"} for on in "abcd"})
    assert not equal.shown and equal.own_less_others.mean == 0 and "no difference shown" in equal.verdict
    once = judge({on: {of: [30.0 + (on == of)] for of in "ab"} for on in "ab"})
    assert not once.shown and "no difference shown" in once.verdict  # one seed shows nothing


def test_finished_trainings_are_kept_and_equal_genotypes_trained_once(
    tiny_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int]] = []

    def counted(config: Config, genotype: Genotype, out: Path) -> object:
        trained.append((out.name, config.manual_seed))
        return run_trial(config, genotype, out)

    monkeypatch.setattr(module, "run_trial", counted)
    configs, out = {"a": tiny_config()}, tmp_path / "transfer"
    cells = transfer(configs, FOUND, 2, out)
    assert [name for name, _ in trained] == ["a-0", "b-0", "a-1", "b-1"]  # c is a's genotype at this scale
    assert trained[0][1] == trained[1][1] != trained[2][1]
    assert cells["a"]["c"] == cells["a"]["a"] and cells["a"]["a"][0] != cells["a"]["b"][0]
    trained.clear()
    (out / "a" / "b-0" / "cell.json").unlink()  # as if it had been cut short
    assert transfer(configs, FOUND, 3, out, resume=True)["a"]["b"][:2] == cells["a"]["b"]
    assert [name for name, _ in trained] == ["b-0", "a-2", "b-2"]
    with pytest.raises(InputError, match="carry them on with --resume"):
        transfer(configs, FOUND, 1, out)
    with pytest.raises(InputError, match="0 seeds"):
        transfer(configs, FOUND, 0, tmp_path / "other")
