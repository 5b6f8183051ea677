"""A tournament: does the search pay? Every contestant under one budget, N seeds each, set beside luck.

Results are kept by what they are the result of, so a tournament that was stopped, or that gets more contestants or
seeds, does only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsnas.bench import Bench
from jsnas.errors import InputError
from trainers.config import Config
from trainers.progress import Progress
from trainers.run_folder import RunFolder
from trainers.search import quiet_nni
from trainers.streams import open_data, patch_stream
from trainers.tournament.contestants import Contestant, Entry, contestants_of, longer_config, play
from trainers.tournament.record import record_of

Play = Callable[[Contestant, int], Entry]


def tournament(config: Config, out: Path, resume: bool = False, play_one: Play | None = None) -> dict[str, Any]:
    """Plays all entries, and leaves ``tournament.json`` in a run folder.

    Args:
        config: Settings; the data must be named.
        out: The run folder: ``searches/`` and, unless the config names another, ``bench/``.
        resume: Whether to carry on the tournament in the folder.
        play_one: What plays an entry; by default searches and trainings.

    Returns:
        What ``tournament.json`` holds; ``trainers.tournament.verdict`` judges it.

    Raises:
        InputError: If a setting, a contestant, the data or the folder cannot be used.
    """
    quiet_nni()
    contestants, seeds, bench = contestants_of(config), config.tournament.seeds, bench_of(config, out)
    check_data(config)
    entries: list[Entry] = []
    with (
        RunFolder(out, config, "tournament", resume) as run,
        Progress("tournament", len(contestants) * seeds, "entries") as progress,
    ):
        for k in range(seeds):  # seed by seed: what is there after a stop compares all
            for contestant in contestants:
                entry = play(contestant, k, out, bench) if play_one is None else play_one(contestant, k)
                entries.append(entry)
                progress.update(len(entries), {"contestant": contestant.name, "psnr_db": entry.psnr_db})
            content = record_of(config, entries)
            run.write_json("tournament.json", content)
    return content


def check_data(config: Config) -> None:
    """Says before anything starts whether images, patches and test images can be used.

    Raises:
        InputError: If they cannot.
    """
    patch_stream(open_data(config), config, "weights")
    try:
        open_data(longer_config(config))
    except InputError as error:
        raise InputError(f"In tournament.test: {error}") from error


def bench_of(config: Config, out: Path) -> Bench:
    """The table of a tournament's trainings."""
    return Bench(out / "bench" if config.tournament.bench is None else Path(config.tournament.bench))
