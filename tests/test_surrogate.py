"""The surrogate on planted tables: what adds up is learnt, noise is not, and what it cannot know it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from jsnas.bench import Row
from jsnas.candidates import ALL_OPERATIONS
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.surrogate import Group, Surrogate, groups, quality

NAMES = [name for name in ALL_OPERATIONS if name != "none"]


def planted(count: int, seeds: int, noise: float, worth: float = 1.0) -> list[Row]:
    """Rows whose PSNR is a sum over edges, and noise of the seed."""
    rng = np.random.default_rng(0)
    of_name = dict(zip(NAMES, rng.normal(0, worth, len(NAMES)), strict=True))
    rows = []
    for _ in range(count):
        operations, attentions = rng.choice(NAMES, 6), rng.choice(["skip", "ca", "pa"], 3)
        genotype = Genotype.from_names("sr", map(str, operations), map(str, attentions), 2)
        psnr = 30 + sum((k + 1) * of_name[str(name)] for k, name in enumerate(operations))
        rows += [
            Row("p", genotype, seed, 100, float(psnr + rng.normal(0, noise)), 1, 1, 1.0, 1.0, "here")
            for seed in range(seeds)
        ]
    return rows


def test_a_sum_over_edges_is_ranked_almost_perfectly() -> None:
    found = quality(groups(planted(150, 2, 1e-3))[0])
    assert found.tau > 0.95
    assert found.agreement > 0.99 and found.ceiling > 0.99
    assert found.repeated == 150


def test_noise_is_not_taken_for_knowledge() -> None:
    found = quality(groups(planted(100, 2, 1.0, worth=0.0))[0])
    assert abs(found.tau) < 0.2
    assert abs(found.agreement) < 0.2


def test_the_ceiling_is_what_the_truth_reaches() -> None:
    rng = np.random.default_rng(1)
    genotypes = [row.genotype for row in planted(400, 1, 0.0)]
    truth = rng.normal(0, 1, len(genotypes))
    noisy = {
        g: {seed: float(t + rng.normal(0, 1.5)) for seed in range(4)} for g, t in zip(genotypes, truth, strict=True)
    }
    reached = [stats.kendalltau(truth, [of[seed] for of in noisy.values()]).statistic for seed in range(4)]
    assert quality(Group("p", 1, noisy)).ceiling == pytest.approx(np.mean(reached), abs=0.05)


def test_the_best_of_many_predictions_is_a_good_one() -> None:
    rows = planted(250, 1, 0.5)
    model = Surrogate.of(groups(rows[:150])[0])
    unseen = [row for row in rows[150:] if row.genotype not in {r.genotype for r in rows[:150]}]
    best = unseen[int(np.argmax(model.predict([row.genotype for row in unseen])))]
    assert best.psnr_db > np.quantile([row.psnr_db for row in unseen], 0.9)


def test_groups_keep_apart_what_does_not_compare() -> None:
    rows = planted(12, 1, 0.1)
    genotype = rows[0].genotype
    other = [Row("q", genotype, 0, 100, 30.0, 1, 1, 1.0, 1.0, "here")]
    longer = [Row("p", genotype, 0, 200, 31.0, 1, 1, 1.0, 1.0, "here")]
    failed = [Row("q", genotype, 1, 100, math.nan, 1, 1, 1.0, 1.0, "here", "it diverged")]
    found = groups([*rows, *other, *longer, *failed])
    assert [(g.protocol, g.iterations, len(g.psnr_db)) for g in found] == [("p", 100, 12), ("q", 100, 1), ("p", 200, 1)]
    assert found[1].psnr_db == {genotype: {0: 30.0}}


def test_what_it_cannot_know_is_refused(tmp_path: Path) -> None:
    rows = planted(40, 1, 0.1)
    model = Surrogate.of(groups(rows)[0])
    attentions = ["skip"] * 3
    with pytest.raises(InputError, match=r"no training with esa on edge 0>1 of the attentions"):
        model.predict([Genotype.from_names("sr", ["skip"] * 6, ["esa", "skip", "skip"], 2)])
    with pytest.raises(InputError, match=r"keeps other edges than those in the table"):
        model.predict([Genotype.from_names("sr", ["skip"] * 3, attentions, 2)])
    with pytest.raises(InputError, match=r"has 3 genotypes that compare; a surrogate needs 10"):
        Surrogate.of(groups(rows[:3])[0])
