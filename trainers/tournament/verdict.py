"""What a tournament's entries allow to be said: means, differences from the reference, the front, a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jsnas.errors import InputError
from trainers.statistics import (
    NO_DIFFERENCE,
    Interval,
    difference,
    grouped_kendall,
    interval,
    least_shown,
    significant,
    verdict,
)
from trainers.tournament.contestants import Entry
from trainers.tournament.record import entries_of

LEVEL = 0.01  # chance, at most, that a tournament without any difference shows one (Holm's correction over all)


@dataclass(frozen=True)
class Standing:
    """One contestant over all seeds.

    Attributes:
        name: Who.
        psnr_db: Of the longer training; seeds that failed are left out here and below.
        against_reference: PSNR less the reference's, in pairs of the same seed; ``None`` for the reference.
        shown: Whether that difference stands after Holm's correction.
        proxy_db: Mean of the short training.
        parameters: Mean.
        multiply_adds: Mean.
        latency_seconds: Mean.
        search_seconds: Mean.
        failed: Seeds that failed.
        on_front: Whether nobody is better in PSNR without more multiply-adds.
    """

    name: str
    psnr_db: Interval
    against_reference: Interval | None
    shown: bool
    proxy_db: float
    parameters: float
    multiply_adds: float
    latency_seconds: float
    search_seconds: float
    failed: int
    on_front: bool


@dataclass(frozen=True)
class Judgement:
    """What a tournament allows to be said.

    Attributes:
        standings: The best first.
        reference: Whom the others were compared with.
        least_shown_db: The difference that would have been shown for half of the contestants, as far as their seeds
            scatter; infinite with one seed.
        tau: Kendall's rank correlation of short and longer training over all entries, with the ends of its interval
            over contestants.
        verdict: In words.
    """

    standings: list[Standing]
    reference: str
    least_shown_db: float
    tau: tuple[float, float, float]
    verdict: str


def judge(content: dict[str, Any]) -> Judgement:
    """Judges what ``tournament.json`` holds.

    Raises:
        InputError: If it is no tournament's, or damaged.
    """
    by_name: dict[str, dict[int, Entry]] = {}
    for entry in entries_of(content):
        by_name.setdefault(entry.contestant, {})[entry.seed] = entry
    reference = content["settings"]["reference"]
    if reference not in by_name:
        raise InputError(f"The reference '{reference}' has no entry; the file of the tournament was altered.")
    whole = {name: {k: e for k, e in of.items() if math.isfinite(e.psnr_db)} for name, of in by_name.items()}
    gaps = {name: _gap(of, whole[reference]) for name, of in whole.items() if name != reference}
    shown = significant({name: gap.p_value for name, gap in gaps.items()}, LEVEL)
    places = {name: (_mean([e.psnr_db for e in of.values()]), _cost(of)) for name, of in whole.items()}
    standings = [
        Standing(
            name,
            interval([e.psnr_db for e in of.values()]),
            gaps.get(name),
            name in shown,
            _mean([e.proxy_db for e in of.values() if math.isfinite(e.proxy_db)]),
            _mean([e.parameters for e in of.values()]),
            _cost(of),
            _mean([e.latency_seconds for e in of.values()]),
            _mean([e.search_seconds for e in of.values()]),
            len(by_name[name]) - len(of),
            bool(of) and not any(_dominates(other, places[name]) for other in places.values()),
        )
        for name, of in whole.items()
    ]
    standings.sort(key=lambda s: -s.psnr_db.mean if s.psnr_db.n else math.inf)
    pairs = {
        name: [(e.proxy_db, e.psnr_db) for e in of.values() if math.isfinite(e.proxy_db)] for name, of in whole.items()
    }
    least = sorted(least_shown(gap, LEVEL / max(1, len(gaps))) for gap in gaps.values())
    return Judgement(
        standings,
        reference,
        least[len(least) // 2] if least else math.inf,
        grouped_kendall(list(pairs.values()), np.random.default_rng(0)),
        _words(gaps, shown, reference, [s.name for s in standings if s.failed]),
    )


def _gap(of: dict[int, Entry], reference: dict[int, Entry]) -> Interval:
    seeds = [k for k in of if k in reference]
    return difference([of[k].psnr_db for k in seeds], [reference[k].psnr_db for k in seeds])


def _words(gaps: dict[str, Interval], shown: set[str], reference: str, failed: list[str]) -> str:
    if shown:
        ordered = sorted(shown, key=lambda name: -gaps[name].mean)
        rest = len(gaps) - len(shown)
        words = "; ".join(verdict(name, reference, gaps[name], True) for name in ordered)
        words += f"; for the other {rest}, {NO_DIFFERENCE}" if rest else ""
    else:
        words = f"Against {reference}: {NO_DIFFERENCE} for any of {len(gaps)} contestants"
    return words + (f"; with seeds that diverged and are left out: {', '.join(failed)}" if failed else "")


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def _cost(of: dict[int, Entry]) -> float:
    return _mean([e.multiply_adds for e in of.values()])


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / len(values) if values else math.nan
