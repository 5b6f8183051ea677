"""The file of a tournament: settings, machine, and an entry for every contestant and seed."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.config import Config
from trainers.run_record import machine_in_words
from trainers.streams import open_data
from trainers.tournament.contestants import TABLES, Entry, longer_config

FORMAT = "jsnas-tournament/1"
_TEXT = ("task", "reference", "validation", "test")
_WHOLE = ("seeds", "search_iterations", "iterations", "modules", "channels")
_PROXY = ("proxy_iterations", "proxy_modules", "proxy_channels")


def record_of(config: Config, entries: list[Entry]) -> dict[str, Any]:
    """What ``tournament.json`` holds.

    Args:
        config: Settings of the tournament.
        entries: Those played.
    """
    return {
        "format": FORMAT,
        "settings": _settings(config),
        "machine": machine_in_words(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "entries": [_entry_record(entry) for entry in entries],
    }


def entries_of(content: Any) -> list[Entry]:
    """The entries of a tournament's file, all of it checked.

    Raises:
        InputError: If it is none, or damaged.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"This is no file of a tournament; '{FORMAT}' was expected as its format.")
    try:
        settings = content["settings"]
        whole = all(type(settings[name]) is int and settings[name] > 0 for name in (*_WHOLE, *_PROXY))
        if not whole or not all(isinstance(settings[name], str) for name in _TEXT):
            raise ValueError("a setting is missing or of the wrong kind")
        if not isinstance(settings["test_unseen"], bool) or settings["table"] not in (None, *TABLES.values()):
            raise ValueError("a setting is missing or of the wrong kind")
        if not isinstance(content["machine"], str) or not isinstance(content["date"], str):
            raise ValueError("machine and date should be texts")
        return [_entry(record) for record in content["entries"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"The file of the tournament is damaged ({error}).") from error


def _settings(config: Config) -> dict[str, Any]:
    longer, t = longer_config(config), config.tournament
    split, scored = open_data(config).split, open_data(longer).split.validation[: config.val.max_images]
    looked_at = {*split.weights, *split.architecture, *split.validation[: config.val.max_images]}
    return {
        "task": config.to_task().label,
        "reference": t.reference,
        "seeds": t.seeds,
        "search_iterations": config.search.total_iter,
        "proxy_iterations": config.search.trial_iter,
        "proxy_modules": config.search.modules,
        "proxy_channels": config.search.channels,
        "iterations": longer.search.trial_iter,
        "modules": longer.search.modules,
        "channels": longer.search.channels,
        "validation": _ranges(list(split.validation[: config.val.max_images])),
        "test": _ranges(list(scored)),
        "test_unseen": not looked_at & set(scored),
        "table": TABLES.get(t.contestants[0]) if len(t.contestants) == 1 else None,
    }


def _ranges(indices: list[int]) -> str:
    """Images counted from 1: ``11-14`` where they follow each other."""
    numbers = sorted(index + 1 for index in indices)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))


def _entry_record(entry: Entry) -> dict[str, Any]:
    numbers = {"proxy_db": entry.proxy_db, "psnr_db": entry.psnr_db}  # JSON has no NaN
    finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
    genotype = None if entry.genotype is None else entry.genotype.to_dict()
    return {**asdict(entry), "genotype": genotype, **finite}


def _entry(record: dict[str, Any]) -> Entry:
    if set(record) != {field.name for field in fields(Entry)}:
        raise ValueError("an entry lacks something, or has too much")
    for name in ("contestant", "failed"):
        if not isinstance(record[name], str):
            raise ValueError(f"{name} is {record[name]!r}")
    for name in ("seed", "parameters", "multiply_adds"):
        if type(record[name]) is not int or record[name] < 0:
            raise ValueError(f"{name} is {record[name]!r}")
    real = {name: _real(record[name]) for name in ("proxy_db", "psnr_db", "search_seconds", "latency_seconds")}
    genotype = None if record["genotype"] is None else Genotype.from_dict(record["genotype"])
    return Entry(**{**record, "genotype": genotype, **real})


def _real(value: Any) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
