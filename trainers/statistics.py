"""What a few repeated measurements allow to be said: intervals of means, paired differences, rank agreement.

Everything here is two-sided. Intervals are Student's; with a handful of seeds they are wide, and are meant to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
NO_DIFFERENCE = "no difference shown"


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie.

    Attributes:
        mean: Mean of the values; NaN of none.
        low: Lower end of the confidence interval; minus infinity of fewer than two values.
        high: Upper end; infinity of fewer than two values.
        n: Number of values.
        p_value: Probability of a mean at least so far from 0 if the true one is 0; 1 of fewer than two values.
        confidence: Share of such intervals that hold the true mean.
    """

    mean: float
    low: float
    high: float
    n: int
    p_value: float
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        """Such as ``+0.12 [-0.03, +0.27]``."""
        ends = "one value" if self.n < 2 else f"{self.low:+.2f}, {self.high:+.2f}"
        return f"{self.mean:+.2f} [{ends}]"


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Student's confidence interval of a mean.

    Args:
        values: Independent measurements.
        confidence: Share of such intervals that hold the true mean, 0 to 1.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n, 1.0, confidence)
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    if error == 0:
        return Interval(mean, mean, mean, n, 1.0 if mean == 0 else 0.0, confidence)
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(mean, mean - reach, mean + reach, n, float(2 * stats.t.sf(abs(mean) / error, n - 1)), confidence)


def difference(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The interval of the mean of a - b, of measurements taken in pairs (the same seed, the same data).

    Raises:
        ValueError: If there are not as many of the one as of the other.
    """
    return interval([x - y for x, y in zip(a, b, strict=True)])


def significant(p_values: Mapping[str, float], level: float) -> set[str]:
    """The names whose p-value stands after Holm's correction: the chance of any false one among them is ``level``.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979) 65-70.
    """
    kept: set[str] = set()
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if not p <= level / (len(p_values) - rank):  # NaN stands for nothing
            break
        kept.add(name)
    return kept


def verdict(name: str, reference: str, gap: Interval, shown: bool) -> str:
    """A difference in words.

    Args:
        name: What was compared.
        reference: With what.
        gap: Of ``difference``, name less reference.
        shown: Whether it is taken for real: for one comparison, whether the interval leaves out 0; for several,
            whether ``significant`` keeps it.
    """
    if not shown:
        return f"{name} against {reference}: {NO_DIFFERENCE} ({gap} dB)"
    way = "better" if gap.mean > 0 else "worse"
    return f"{name} is {way} than {reference} by {abs(gap.mean):.2f} dB ({gap} dB)"


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's rank correlation tau-b of two measurements of the same things, -1 to 1; NaN of fewer than two.

    Source: M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33 (1945) 239-251.
    """
    if len(a) < 2:
        return math.nan
    return float(stats.kendalltau(a, b, nan_policy="raise").statistic)


def grouped_kendall(
    groups: Sequence[Sequence[tuple[float, float]]], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Kendall's tau of pairs of measurements, with the ends of its bootstrap interval (1,000 resamples of the groups).

    Args:
        groups: Pairs that belong together, as repeats of one thing do: these are drawn whole.
        rng: For the resamples.
    """

    def tau(chosen: Sequence[Sequence[tuple[float, float]]]) -> float:
        pairs = [pair for group in chosen for pair in group]
        return kendall([a for a, _ in pairs], [b for _, b in pairs])

    filled = [group for group in groups if group]
    if len(filled) < 3:
        return tau(filled), -1.0, 1.0
    draws = [tau([filled[k] for k in rows]) for rows in rng.integers(len(filled), size=(1000, len(filled)))]
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return tau(filled), float(low), float(high)


def least_shown(gap: Interval, level: float) -> float:
    """The least mean difference whose p-value would be ``level``, its values scattering as they do.

    Infinite of fewer than two values.
    """
    if gap.n < 2:
        return math.inf
    error = (gap.high - gap.low) / 2 / float(stats.t.ppf((1 + gap.confidence) / 2, gap.n - 1))
    return float(stats.t.ppf(1 - level / 2, gap.n - 1)) * error
