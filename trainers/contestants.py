"""Who takes part in a tournament: a strategy that searches, luck, a given genotype, one candidate everywhere."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jsnas.bench import Bench
from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError, unknown_name
from jsnas.genotype import Genotype, shipped_genotypes
from jsnas.paper import Variant, variants
from trainers.bench import random_genotype, singles, trained
from trainers.catalogue import STRATEGIES
from trainers.compare import FRESH_SEED, under_budget
from trainers.config import Config
from trainers.search import search

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
        genotype: What was found or given.
        search_seconds: Time of the search; 0 where there was none.
        proxy_db: PSNR of the short training; NaN if it failed.
        psnr_db: PSNR of the longer training on the test images; NaN if it failed.
        parameters: Of the network trained longer.
        multiply_adds: Of the same, for a 1280 x 720 output.
        latency_seconds: Of the same, as ``jsnas.bench.Row`` has it.
        failed: Why a training failed; empty if none did.
    """

    contestant: str
    seed: int
    genotype: Genotype
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
            found.append(Contestant(name, under_budget(config, name, config.search.total_iter)))
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
    genotype, seconds = _find(contestant, number, out / "searches" / f"{_slug(contestant.name)}-{number}")
    seed = config.manual_seed + number
    proxy = trained(config, genotype, seed, bench)
    longer = trained(longer_config(config), genotype, seed + FRESH_SEED, bench)
    return Entry(
        contestant.name,
        number,
        longer.genotype,
        seconds,
        proxy.psnr_db,
        longer.psnr_db,
        longer.parameters,
        longer.multiply_adds,
        longer.latency_seconds,
        proxy.failed or longer.failed,
    )


def longer_config(config: Config) -> Config:
    """The longer training as a trial: the network's size, the training's length, scored on the test images."""
    n, t = config.network, config.tournament
    modules = n.modules if n.modules is not None else 5 if config.task == "sr" else 6
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


def _find(contestant: Contestant, number: int, folder: Path) -> tuple[Genotype, float]:
    """What a contestant trains, and the seconds that it took to find it."""
    config = contestant.config
    if contestant.genotype is not None:
        return contestant.genotype, 0.0
    if not contestant.searches:
        return random_genotype(config, np.random.default_rng([_LUCK_SEED, config.manual_seed + number])), 0.0
    done, asked = folder / "found.json", dataclasses.asdict(config.search)
    asked = json.loads(json.dumps({**asked, "strategy": dataclasses.asdict(config.strategy)}))
    if done.is_file():
        kept = json.loads(done.read_text(encoding="utf-8"))
        if kept["asked"] == asked:
            return Genotype.from_dict(kept["genotype"]), float(kept["seconds"])
    if folder.exists():  # cut short, where time would be measured wrong; or of other settings
        shutil.rmtree(folder)
    start = time.monotonic()
    genotype = search(dataclasses.replace(config, manual_seed=config.manual_seed + number), folder)
    seconds = time.monotonic() - start
    found = {"genotype": genotype.to_dict(), "seconds": seconds, "asked": asked}
    with atomic_file(done) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return genotype, seconds


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "." for c in name)
