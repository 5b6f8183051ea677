"""Strategies are compared under one budget, with the mean and spread of hand-made figures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tiny_runs import metrics_of

from jsnas.errors import InputError
from trainers.compare import Comparison, compare, comparison_table


def test_table_holds_mean_and_sample_deviation() -> None:
    comparison = Comparison(
        "random", [30.0, 31.0, 35.0], [1000, 2000, 3000], [10**9, 10**9, 4 * 10**9], [1.0, 2.0, 3.0]
    )
    row = comparison_table([comparison]).splitlines()[-1]
    spread = math.sqrt((4 + 1 + 9) / 2)
    assert row == f"| random | 32.00 ± {spread:.2f} | 2 k | 2.0 G | 2 |"
    assert "±" not in comparison_table([Comparison("random", [30.0], [1], [1], [1.0])])


def test_every_strategy_gets_the_same_iterations(tiny_config, tmp_path: Path) -> None:
    out = tmp_path / "compare"
    comparisons = compare(tiny_config(search__trial_iter=2), ["pc_darts", "random"], budget=6, seeds=2, out=out)
    assert [c.strategy for c in comparisons] == ["pc_darts", "random"]
    assert all(len(c.psnr_db) == 2 and all(5 < p < 45 for p in c.psnr_db) for c in comparisons)
    lines = {name: metrics_of(out / f"{name}-1" / "search") for name in ("pc_darts", "random")}
    assert lines["pc_darts"][-1]["iteration"] == 6
    assert lines["random"][-1]["iteration"] == 3  # trials of 2 iterations each
    # The warm-up is a quarter of the search, as in the config (1 of 4).
    assert [line["phase"] for line in lines["pc_darts"]].count("warm-up") == 2
    again = compare(tiny_config(search__trial_iter=2), ["pc_darts", "random"], 6, 2, out, resume=True)
    assert again == comparisons


def test_what_cannot_be_compared_is_said_first(tiny_config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="less than one trial"):
        compare(tiny_config(search__trial_iter=100), ["pc_darts", "random"], 50, 1, tmp_path / "a")
    with pytest.raises(InputError, match="named twice"):
        compare(tiny_config(), ["random", "random"], 50, 1, tmp_path / "a")
    with pytest.raises(InputError, match="did you mean 'darts'"):
        compare(tiny_config(), ["random", "dart"], 50, 1, tmp_path / "a")
    assert not (tmp_path / "a").exists()
