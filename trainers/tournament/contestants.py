"""Who takes part in a tournament: a strategy that searches, luck, a given genotype, one candidate everywhere."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jsnas.bench import Bench
from jsnas.data.atomic import atomic_file
from jsnas.errors import DivergedError, InputError, unknown_name
from jsnas.genotype import Genotype, shipped_genotypes
from jsnas.paper import Variant, variants
from trainers.bench import protocol_of, random_genotype, singles, trained
from trainers.catalogue import MULTI_TRIAL, STRATEGIES
from trainers.compare import FRESH_SEED, under_budget
from trainers.config import Config
from trainers.search import check_warmup, search
from trainers.streams import open_data

LUCK, SINGLES = "luck", "singles"
TABLES = {f"table-{number}": str(number) for number in range(2, 6)}  # the paper's ablations
_LUCK_SEED = 7919  # keeps its draws apart from those that fill a table


@dataclass(frozen=True)
class Contestant:
    """Who takes part.

    Attributes:
        name: What it is called.
        config: Settings, with the budget of a search.
        genotype: What it trains, where nothing is searched.
    """

    name: str
    config: Config
    genotype: Genotype | None = None

    @property
    def searches(self) -> bool:
        """Whether it is a strategy."""
        return self.genotype is None and self.name != LUCK


@dataclass(frozen=True)
class Entry:
    """What a contestant reached with one seed.

    Attributes:
        contestant: Its name.
        seed: Number of the seed, from 0.
        genotype: What was found or given; ``None`` if the search diverged.
        search_seconds: Time of the search; 0 where there was none.
        proxy_db: PSNR of the short training; NaN if it diverged.
        psnr_db: PSNR of the longer training on the test images; NaN if it diverged.
        parameters: Of the network trained longer.
        multiply_adds: Of the same, for a 1280 x 720 output.
        latency_seconds: Of the same, as ``jsnas.bench.Row`` has it.
        failed: Why there is no PSNR; empty if there is one.
    """

    contestant: str
    seed: int
    genotype: Genotype | None
    search_seconds: float
    proxy_db: float
    psnr_db: float
    parameters: int
    multiply_adds: int
    latency_seconds: float
    failed: str = ""


def contestants_of(config: Config) -> list[Contestant]:
    """Everybody that the config names, asked now whether they can take part.

    Raises:
        InputError: If a name is unknown or doubled, a strategy cannot be used, or the reference does not take part.
    """
    found: list[Contestant] = []
    for name in config.tournament.contestants:
        if name in TABLES:
            found += [_variant(config, variant) for variant in variants() if variant.table == TABLES[name]]
        elif name == SINGLES:
            found += [Contestant(label, config, genotype) for label, genotype in singles(config)]
        elif name == LUCK:
            found.append(Contestant(name, config))
        elif name in STRATEGIES or ":" in name:
            limited = under_budget(config, name, config.search.total_iter)
            if name not in MULTI_TRIAL:
                check_warmup(limited)
            found.append(Contestant(name, limited))
        elif name in shipped_genotypes() or Path(name).is_file():
            found.append(Contestant(Path(name).stem, config, Genotype.load(name)))
        else:
            known = (*STRATEGIES, LUCK, SINGLES, *TABLES, *shipped_genotypes())
            raise unknown_name("contestant (neither a strategy, a genotype nor its file)", name, known)
    names = [contestant.name for contestant in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Two contestants are called '{name}'; name each once.")
    reference = config.tournament.reference
    if reference not in names:
        raise InputError(f"The reference '{reference}' does not take part; add it to tournament.contestants.")
    if len(names) < 2:
        raise InputError(f"Only '{reference}' takes part; name another contestant to compare it with.")
    return found


def play(contestant: Contestant, number: int, out: Path, bench: Bench) -> Entry:
    """Searches and trains for one seed; every part that was done before is looked up.

    Args:
        contestant: Who.
        number: Number of the seed, from 0.
        out: Folder of the tournament; searches go into ``searches/``.
        bench: The table of trainings.

    Raises:
        InputError: If a setting, the data or the folder cannot be used.
    """
    config = contestant.config
    found = _find(contestant, number, out / "searches" / f"{_slug(contestant.name)}-{number}")
    if found.genotype is None:
        return Entry(contestant.name, number, None, found.seconds, math.nan, math.nan, 0, 0, 0.0, found.failed)
    # Seeds that no search has used: a trial that won by its luck has it not twice.
    seed = config.manual_seed + number + FRESH_SEED
    proxy = trained(config, found.genotype, seed + FRESH_SEED, bench)
    longer = trained(longer_config(config), found.genotype, seed, bench)
    return Entry(
        contestant.name,
        number,
        longer.genotype,
        found.seconds,
        proxy.psnr_db,
        longer.psnr_db,
        longer.parameters,
        longer.multiply_adds,
        longer.latency_seconds,
        longer.failed,
    )


def longer_config(config: Config) -> Config:
    """The longer training as a trial: the network's size, the training's length, scored on the test images."""
    n, t = config.network, config.tournament
    modules = n.modules if n.modules is not None else config.to_task().modules
    size = dataclasses.replace(
        config.search,
        space="joint",
        modules=modules,
        channels=n.channels,
        inner_channels=n.inner_channels,
        trial_iter=config.train.total_iter,
    )
    datasets = config.datasets if t.test == "auto" else dataclasses.replace(config.datasets, validation=t.test)
    return dataclasses.replace(config, search=size, datasets=datasets)


def _variant(config: Config, variant: Variant) -> Contestant:
    """A row of an ablation: its genotype, and its fusion module."""
    network = dataclasses.replace(config.network, fusion_kernels=variant.settings.fusion_kernels)
    return Contestant(variant.method, dataclasses.replace(config, network=network), variant.genotype)


@dataclass(frozen=True)
class _Found:
    """What a contestant trains, the seconds that it took to find, and why there is nothing if the search diverged."""

    genotype: Genotype | None
    seconds: float = 0.0
    failed: str = ""


def _find(contestant: Contestant, number: int, folder: Path) -> _Found:
    config = contestant.config
    if contestant.genotype is not None:
        return _Found(contestant.genotype)
    if not contestant.searches:
        return _Found(random_genotype(config, np.random.default_rng([_LUCK_SEED, config.manual_seed + number])))
    config = dataclasses.replace(config, manual_seed=config.manual_seed + number)
    asked = _asked(config)
    if (kept := _kept(folder / "found.json", asked)) is not None:
        return kept
    if folder.exists():  # cut short, where time would be measured wrong; or of other settings
        shutil.rmtree(folder)
    start = time.monotonic()
    try:
        found = _Found(search(config, folder), time.monotonic() - start)
    except DivergedError as error:
        found = _Found(None, time.monotonic() - start, str(error))
    genotype = None if found.genotype is None else found.genotype.to_dict()
    record = {"genotype": genotype, "seconds": found.seconds, "failed": found.failed, "asked": asked}
    with atomic_file(folder / "found.json") as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return found


def _asked(config: Config) -> Any:
    """All that a search is the result of."""
    split = open_data(config).split
    asked = {
        "protocol": protocol_of(config),
        "architecture_images": [int(k) for k in split.architecture],
        "search": dataclasses.asdict(config.search),
        "strategy": dataclasses.asdict(config.strategy),
        "seed": config.manual_seed,
    }
    return json.loads(json.dumps(asked))


def _kept(path: Path, asked: Any) -> _Found | None:
    """What an equal search found before; ``None`` if there was none, or it cannot be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["asked"] != asked:
            return None
        genotype = None if kept["genotype"] is None else Genotype.from_dict(kept["genotype"])
        return _Found(genotype, float(kept["seconds"]), str(kept["failed"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "." for c in name)
