"""A tournament: does the search pay? Every contestant under one budget, N seeds each, set beside luck.

Results are kept by what they are the result of, so a tournament that was stopped, or that gets more contestants or
seeds, does only what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jsnas.bench import Bench
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.config import Config
from trainers.contestants import Contestant, Entry, contestants_of, longer_config, play
from trainers.progress import Progress
from trainers.run_folder import RunFolder
from trainers.run_record import machine_in_words
from trainers.search import quiet_nni
from trainers.statistics import (
    NO_DIFFERENCE,
    Interval,
    difference,
    interval,
    kendall_interval,
    significant,
    verdict,
)
from trainers.streams import open_data, patch_stream

LEVEL = 0.01  # chance, at most, that a tournament without any difference shows one (Holm's correction over all)
FORMAT = "jsnas-tournament/1"
Play = Callable[[Contestant, int], Entry]


@dataclass(frozen=True)
class Standing:
    """One contestant over all seeds.

    Attributes:
        name: Who.
        psnr_db: Of the longer training; trainings that failed are left out.
        against_reference: PSNR less the reference's, in pairs of the same seed; ``None`` for the reference.
        shown: Whether that difference stands after Holm's correction.
        proxy_db: Mean of the short training.
        parameters: Mean.
        multiply_adds: Mean.
        latency_seconds: Mean.
        search_seconds: Mean.
        failed: Trainings that failed.
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
        tau: Kendall's rank correlation of short and longer training over all entries, with its interval's ends.
        verdict: In words.
    """

    standings: list[Standing]
    reference: str
    tau: tuple[float, float, float]
    verdict: str


def tournament(config: Config, out: Path, resume: bool = False, play_one: Play | None = None) -> dict[str, Any]:
    """Plays all entries, and leaves ``tournament.json`` in a run folder.

    Args:
        config: Settings; the data must be named.
        out: The run folder: ``searches/`` and, unless the config names another, ``bench/``.
        resume: Whether to carry on the tournament in the folder.
        play_one: What an entry is played by, in place of searches and trainings.

    Returns:
        What ``tournament.json`` holds; ``judge`` and ``trainers.tournament_page`` take it.

    Raises:
        InputError: If a setting, a contestant, the data or the folder cannot be used.
    """
    quiet_nni()
    contestants, seeds = contestants_of(config), config.tournament.seeds
    bench = bench_of(config, out)
    if play_one is None:
        check_data(config)
    entries: list[Entry] = []
    with RunFolder(out, config, resume) as run, Progress("tournament", len(contestants) * seeds, "entries") as progress:
        for k in range(seeds):  # seed by seed: what is there after a stop compares all
            for contestant in contestants:
                entry = play(contestant, k, out, bench) if play_one is None else play_one(contestant, k)
                entries.append(entry)
                progress.update(len(entries), {"contestant": contestant.name, "psnr_db": entry.psnr_db})
        content = {
            "format": FORMAT,
            "settings": _settings(config),
            "machine": machine_in_words(),
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "entries": [_entry_record(entry) for entry in entries],
        }
        run.write_json("tournament.json", content)
    return content


def check_data(config: Config) -> None:
    """Says before anything starts whether images, patches and test images can be used."""
    patch_stream(open_data(config), config, "weights")
    try:
        open_data(longer_config(config))
    except InputError as error:
        raise InputError(f"In tournament.test: {error}") from error


def bench_of(config: Config, out: Path) -> Bench:
    """The table of a tournament's trainings."""
    return Bench(out / "bench" if config.tournament.bench is None else Path(config.tournament.bench))


def judge(content: dict[str, Any]) -> Judgement:
    """Means, intervals, differences from the reference, and the verdict.

    Args:
        content: Of ``tournament``.

    Raises:
        InputError: If it is not a tournament's.
    """
    entries, reference = entries_of(content), str(content["settings"]["reference"])
    by_name: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.contestant, {})[entry.seed] = entry
    if reference not in by_name:
        raise InputError(f"The reference '{reference}' has no entry; the file of the tournament was altered.")
    gaps = {name: _gap(of, by_name[reference]) for name, of in by_name.items() if name != reference}
    shown = significant({name: gap.p_value for name, gap in gaps.items()}, LEVEL)
    means = {name: (_mean([e.psnr_db for e in of.values()]), _cost(of)) for name, of in by_name.items()}
    standings = [
        Standing(
            name,
            interval([e.psnr_db for e in of.values() if math.isfinite(e.psnr_db)]),
            gaps.get(name),
            name in shown,
            _mean([e.proxy_db for e in of.values()]),
            _mean([e.parameters for e in of.values()]),
            _cost(of),
            _mean([e.latency_seconds for e in of.values()]),
            _mean([e.search_seconds for e in of.values()]),
            sum(bool(e.failed) for e in of.values()),
            not any(_dominates(other, means[name]) for other in means.values()),
        )
        for name, of in by_name.items()
    ]
    standings.sort(key=lambda s: -s.psnr_db.mean if math.isfinite(s.psnr_db.mean) else math.inf)
    both = [(e.proxy_db, e.psnr_db) for e in entries if math.isfinite(e.proxy_db) and math.isfinite(e.psnr_db)]
    tau = kendall_interval([a for a, _ in both], [b for _, b in both], np.random.default_rng(0))
    return Judgement(standings, reference, tau, _words(gaps, shown, reference))


def entries_of(content: dict[str, Any]) -> list[Entry]:
    """The entries of a tournament's file.

    Raises:
        InputError: If it is not one.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"This is no file of a tournament; '{FORMAT}' was expected as its format.")
    try:
        return [
            Entry(**{**record, "genotype": Genotype.from_dict(record["genotype"]), **_numbers(record)})
            for record in content["entries"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"The file of the tournament is damaged ({error}).") from error


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    return {key: math.nan if record[key] is None else float(record[key]) for key in ("proxy_db", "psnr_db")}


def _entry_record(entry: Entry) -> dict[str, Any]:
    numbers = {
        k: v if math.isfinite(v) else None for k, v in (("proxy_db", entry.proxy_db), ("psnr_db", entry.psnr_db))
    }
    return {**asdict(entry), "genotype": entry.genotype.to_dict(), **numbers}


def _settings(config: Config) -> dict[str, Any]:
    longer = longer_config(config).search
    return {
        "task": config.to_task().label,
        "reference": config.tournament.reference,
        "seeds": config.tournament.seeds,
        "search_iterations": config.search.total_iter,
        "proxy_iterations": config.search.trial_iter,
        "proxy_modules": config.search.modules,
        "proxy_channels": config.search.channels,
        "iterations": longer.trial_iter,
        "modules": longer.modules,
        "channels": longer.channels,
        "validation": config.datasets.validation,
        "test": config.tournament.test,
    }


def _gap(of: dict[int, Entry], reference: dict[int, Entry]) -> Interval:
    seeds = [k for k in of if k in reference]
    pairs = [(of[k].psnr_db, reference[k].psnr_db) for k in seeds]
    pairs = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    return difference([a for a, _ in pairs], [b for _, b in pairs])


def _words(gaps: dict[str, Interval], shown: set[str], reference: str) -> str:
    if not shown:
        return f"Against {reference}: {NO_DIFFERENCE} for any of {len(gaps)} contestants"
    ordered = sorted(shown, key=lambda name: -gaps[name].mean)
    rest = len(gaps) - len(shown)
    others = f"; for the other {rest}, {NO_DIFFERENCE}" if rest else ""
    return "; ".join(verdict(name, reference, gaps[name], True) for name in ordered) + others


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    if not math.isfinite(b[0]):
        return math.isfinite(a[0])
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def _cost(of: dict[int, Entry]) -> float:
    return _mean([e.multiply_adds for e in of.values()])


def _mean(values: list[float] | list[int]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
