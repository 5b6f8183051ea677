"""A tournament's entries as trials of an NNI experiment, several at a time, to be watched on NNI's page."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

from jsnas.errors import InputError
from trainers.config import Config
from trainers.experiment.plan import ENTRY, TUNERS, Plan
from trainers.experiment.run import Page, experiment, saved_config
from trainers.run_folder import RunFolder
from trainers.tournament.contestants import contestants_of
from trainers.tournament.run import check_data


def play_under_nni(config: Config, out: Path, port: int | None, resume: bool) -> None:
    """Plays all entries; what they leave in the tournament's folder is all that the tournament needs then.

    Args:
        config: Settings; ``experiment.concurrency`` entries are played at a time.
        out: The tournament's folder; NNI's files go into ``experiment-.../`` there, one for each list of contestants
            and number of seeds, where a stopped one is carried on. Entries played before are looked up.
        port: Of the page, or ``None`` for the config's.
        resume: Whether to carry on the tournament in the folder.

    Raises:
        InputError: If a setting cannot be used, or NNI gives up.
    """
    if config.experiment.training_service is not None:
        raise InputError(
            "The entries of a tournament share a folder, so they run on this machine; leave "
            "experiment.training_service out."
        )
    check_data(config)
    names, seeds = [contestant.name for contestant in contestants_of(config)], config.tournament.seeds
    space = {
        "contestant": {"_type": "choice", "_value": names},
        "seed": {"_type": "choice", "_value": list(range(seeds))},
    }
    plan = Plan(ENTRY, len(names) * seeds, space, {"name": TUNERS["grid"], "classArgs": {}})
    with RunFolder(out, config, "tournament", resume):  # nobody else plays in it meanwhile
        config = _for_trials(config)
        folder = out / f"experiment-{zlib.crc32(json.dumps([names, seeds]).encode()):08x}"
        carry_on = (folder / "experiment.json").is_file()
        if carry_on:
            config = saved_config(folder, None)
        experiment(config, folder, Page(port), carry_on, plan)


def _for_trials(config: Config) -> Config:
    """The config with paths that hold in a trial's folder too."""
    t = config.tournament
    bench = None if t.bench is None else str(Path(t.bench).resolve())
    contestants = [str(Path(name).resolve()) if Path(name).is_file() else name for name in t.contestants]
    return dataclasses.replace(config, tournament=dataclasses.replace(t, bench=bench, contestants=contestants))
