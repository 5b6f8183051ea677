"""Intervals, Holm's correction and rank correlation against closed forms and textbook figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainers.statistics import difference, grouped_kendall, interval, kendall, least_shown, significant, verdict

VALUES = st.lists(st.floats(-50, 50, allow_nan=False), min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-6)


def test_interval_of_three_values_is_students() -> None:
    found = interval([1.0, 2.0, 3.0])
    reach = 4.302652729911275 / math.sqrt(3)  # the table's t for two degrees of freedom at 97.5 %
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach))
    assert (interval([5.0]).low, interval([5.0]).high) == (-math.inf, math.inf)
    assert math.isnan(interval([]).mean)


@given(VALUES)
def test_p_value_is_that_of_scipys_test(values: list[float]) -> None:
    assert interval(values).p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=1e-9)


@given(VALUES, st.floats(0.5, 0.99))
def test_an_interval_leaves_out_0_when_its_p_value_is_small(values: list[float], confidence: float) -> None:
    found = interval(values, confidence)
    if abs(found.p_value - (1 - confidence)) > 1e-9:
        assert (found.p_value < 1 - confidence) == (not found.low <= 0 <= found.high)


def test_pairs_take_away_what_a_seed_does_to_both() -> None:
    seeds = np.random.default_rng(0).normal(0, 5, 6)
    found = difference(list(seeds + 0.3), list(seeds))
    assert (found.low, found.high) == pytest.approx((0.3, 0.3), abs=1e-6)
    with pytest.raises(ValueError, match=r"zip"):
        difference([1.0], [1.0, 2.0])


def test_holm_stops_at_the_first_that_fails() -> None:
    # Holm (1979): 0.01 <= 0.05/4, 0.02 > 0.05/3, so the third is not kept either, though 0.03 < 0.05.
    assert significant({"a": 0.01, "b": 0.02, "c": 0.03, "d": 0.9}, 0.05) == {"a"}
    assert significant({"a": 0.001, "b": 0.012, "c": 0.02, "d": 0.04}, 0.05) == {"a", "b", "c", "d"}
    assert significant({"a": math.nan}, 0.05) == set()


def test_verdicts_in_words() -> None:
    gap = difference([2.0, 2.1, 2.2], [1.0, 1.0, 1.0])
    assert "a is better than b by 1.10 dB" in verdict("a", "b", gap, True)
    assert "no difference shown" in verdict("a", "b", gap, False)


def test_kendall_of_known_orders() -> None:
    assert kendall([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)  # five pairs agree, one does not
    equal = [[(float(k), float(k))] for k in range(30)]
    assert grouped_kendall(equal, np.random.default_rng(0)) == pytest.approx((1, 1, 1))


def test_the_interval_of_tau_holds_0_where_groups_differ_and_ranks_do_not() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(20):  # twenty things, each measured five times both ways: what they share makes no rank
        groups = [[tuple(rng.normal(size=2) * 0.3 + shift) for _ in range(5)] for shift in rng.normal(size=(20, 2))]
        _, low, high = grouped_kendall(groups, rng)
        held += low <= 0 <= high
    assert held >= 16  # of 20


@given(VALUES)
def test_what_would_have_been_shown_has_that_p_value(values: list[float]) -> None:
    least = least_shown(interval(values), 0.003)
    shifted = [v - float(np.mean(values)) + least for v in values]
    assert interval(shifted).p_value == pytest.approx(0.003, rel=1e-4)
