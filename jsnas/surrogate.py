"""A model that predicts a genotype's PSNR from a table of trainings, and how far its ranks can be trusted.

The features say which candidate stands on each edge and how often each occurs. The model is ridge regression
(scikit-learn): with some hundreds of noisy rows, trees and kernels ranked no better.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from jsnas.bench import Row
from jsnas.errors import InputError
from jsnas.genotype import Genotype

_FOLDS, _REPEATS = 5, 5
_LEAST = 10  # genotypes to fit on
LEAST_TO_JUDGE = 20  # genotypes to say how well a fit ranks
_PENALTIES = np.logspace(-1, 4, 26)


@dataclass(frozen=True)
class Group:
    """Rows that compare: one protocol, one length; the PSNR in dB of each genotype and seed.

    Attributes:
        protocol: Identity of the protocol.
        iterations: Length of the trainings.
        psnr_db: Genotype to seed to PSNR; trainings that failed are left out.
    """

    protocol: str
    iterations: int
    psnr_db: dict[Genotype, dict[int, float]]


@dataclass(frozen=True)
class Quality:
    """How well a surrogate ranks what it has not seen.

    Attributes:
        group: What it was fitted on.
        tau: Kendall's tau of prediction and one training of held-out genotypes, mean over folds and repeats.
        spread: Standard deviation over folds and repeats.
        agreement: Kendall's tau of two trainings of the same genotypes that differ in the seed alone, mean over pairs
            of seeds; NaN if fewer than three genotypes were trained twice.
        repeated: Genotypes that were trained twice or more.
    """

    group: Group
    tau: float
    spread: float
    agreement: float
    repeated: int

    @property
    def ceiling(self) -> float:
        """The tau that a prediction without any error would reach against one training, as noisy as seeds make it.

        For normal values tau is 2/pi asin(r) of their correlation r; two trainings correlate by the reliability, and
        the truth with one training by its square root.
        """
        reliability = max(0.0, math.sin(math.pi / 2 * self.agreement))
        return 2 / math.pi * math.asin(math.sqrt(reliability))

    def __str__(self) -> str:
        g = self.group
        trainings = sum(map(len, g.psnr_db.values()))
        noise = (
            "too few genotypes were trained twice to tell the noise of seeds"
            if math.isnan(self.agreement)
            else f"two seeds of the same {self.repeated} genotypes agree by {self.agreement:.2f}, so the truth itself "
            f"would reach about {self.ceiling:.2f}"
        )
        return (
            f"Protocol {g.protocol}, {g.iterations} iterations: {trainings} trainings of {len(g.psnr_db)} genotypes. "
            f"Kendall's tau on held-out genotypes {self.tau:.2f} (standard deviation {self.spread:.2f} over "
            f"{_FOLDS * _REPEATS} folds); {noise}."
        )


class Surrogate:
    """Predicts the PSNR of genotypes.

    Args:
        genotypes: What was trained.
        psnr_db: Its PSNR, the mean over seeds.

    Raises:
        InputError: If there are too few genotypes, or scikit-learn is not installed.
    """

    def __init__(self, genotypes: Sequence[Genotype], psnr_db: Sequence[float]) -> None:
        if len(genotypes) < _LEAST:
            raise InputError(
                f"The table has {len(genotypes)} genotypes that compare; a surrogate needs {_LEAST} or more, "
                "so fill it with `jsnas bench fill`."
            )
        try:
            from sklearn.linear_model import RidgeCV
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler
        except ImportError as error:
            raise InputError("A surrogate needs scikit-learn; install it with `pip install jsnas[bench]`.") from error
        self._places = sorted({place for genotype in genotypes for place in _occupied(genotype)})
        self._edges = {_edges(genotype) for genotype in genotypes}
        self._model: Any = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
        self._model.fit(self._features(genotypes), np.asarray(psnr_db))

    @classmethod
    def of(cls, group: Group) -> Surrogate:
        """Fitted on all of a group."""
        means = {genotype: float(np.mean(list(of.values()))) for genotype, of in group.psnr_db.items()}
        return cls(list(means), list(means.values()))

    def predict(self, genotypes: Sequence[Genotype]) -> list[float]:
        """PSNR in dB of each.

        Raises:
            InputError: If a genotype has edges or candidates that the table lacks.
        """
        known = set(self._places)
        for genotype in genotypes:
            if _edges(genotype) not in self._edges:
                raise InputError(
                    "The genotype keeps other edges than those in the table; the surrogate cannot judge it."
                )
            for part, edge, name in _occupied(genotype):
                if (part, edge, name) not in known:
                    raise InputError(
                        f"The table has no training with {name} on edge {edge[0]}>{edge[1]} of the {part}s; fill it "
                        "with more genotypes, or search without that candidate."
                    )
        values: list[float] = self._model.predict(self._features(genotypes)).tolist()
        return values

    def _features(self, genotypes: Sequence[Genotype]) -> npt.NDArray[np.float64]:
        names = sorted({(part, name) for part, _, name in self._places})
        rows = []
        for genotype in genotypes:
            occupied = _occupied(genotype)
            present = set(occupied)
            counts = [sum((p, n) == key for p, _, n in occupied) for key in names]
            rows.append([float(place in present) for place in self._places] + [float(count) for count in counts])
        return np.asarray(rows)


def groups(rows: Sequence[Row]) -> list[Group]:
    """The rows that compare with each other, the largest group first."""
    found: dict[tuple[str, int], dict[Genotype, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if math.isfinite(row.psnr_db):
            found[row.protocol, row.iterations][row.genotype][row.seed] = row.psnr_db
    made = [Group(protocol, n, {g: dict(of) for g, of in psnr.items()}) for (protocol, n), psnr in found.items()]
    return sorted(made, key=lambda group: -len(group.psnr_db))


def quality(group: Group) -> Quality:
    """Cross-validates a surrogate on a group, genotypes held out whole; seeded, so the same every time.

    Genotypes that hold what the others of their fold's complement lack are left out.

    Raises:
        InputError: If the group is too small.
    """
    if len(group.psnr_db) < LEAST_TO_JUDGE:
        raise InputError(
            f"{len(group.psnr_db)} genotypes compare; to judge a surrogate takes {LEAST_TO_JUDGE} or more, so fill the "
            "table with `jsnas bench fill`."
        )
    genotypes = list(group.psnr_db)
    means = np.asarray([np.mean(list(of.values())) for of in group.psnr_db.values()])
    single = np.asarray([of[min(of)] for of in group.psnr_db.values()])
    taus = []
    for repeat in range(_REPEATS):
        order = np.random.default_rng(repeat).permutation(len(genotypes))
        for held_out in np.array_split(order, _FOLDS):
            kept = np.setdiff1d(order, held_out)
            model = Surrogate([genotypes[k] for k in kept], means[kept].tolist())
            known = [k for k in held_out if _known(model, genotypes[k])]
            if len(known) > 1:
                predicted = model.predict([genotypes[k] for k in known])
                taus.append(float(stats.kendalltau(predicted, single[known]).statistic))
    agreement, repeated = _agreement(group)
    finite = [tau for tau in taus if math.isfinite(tau)]
    if not finite:
        return Quality(group, math.nan, math.nan, agreement, repeated)
    return Quality(group, float(np.mean(finite)), float(np.std(finite)), agreement, repeated)


def _known(model: Surrogate, genotype: Genotype) -> bool:
    try:
        model.predict([genotype])
    except InputError:
        return False
    return True


def _agreement(group: Group) -> tuple[float, int]:
    seeds = sorted({seed for of in group.psnr_db.values() for seed in of})
    taus = []
    for k, a in enumerate(seeds):
        for b in seeds[k + 1 :]:
            both = [(of[a], of[b]) for of in group.psnr_db.values() if a in of and b in of]
            if len(both) > 2:
                taus.append(float(stats.kendalltau([x for x, _ in both], [y for _, y in both]).statistic))
    repeated = sum(len(of) > 1 for of in group.psnr_db.values())
    return (float(np.mean(taus)) if taus else math.nan), repeated


def _occupied(genotype: Genotype) -> list[tuple[str, tuple[int, int], str]]:
    return [(part, edge, name) for part, kept in genotype.parts for edge, name in kept]


def _edges(genotype: Genotype) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple(tuple(edge for edge, _ in kept) for _, kept in genotype.parts)
