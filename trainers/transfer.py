"""The transfer matrix: each task's genotype trained shortly on each task, under one budget.

It asks whether structures must differ between tasks: does a task's own genotype do better there than those found for
the others? Each cell is a ``trainers.trial`` of ``search.trial_iter`` iterations; genotypes are compared in pairs of
one task and one seed. Genotypes that are equal share their cells, and differ by exactly 0.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.config import Config
from trainers.progress import Progress
from trainers.statistics import (
    CONFIDENCE,
    NO_DIFFERENCE,
    Interval,
    difference,
    interval,
    significant,
    verdict,
)
from trainers.trial import run_trial

_FRESH_SEED = 2_000_003  # added to a search's seed for the trainings that are compared

Cells = dict[str, dict[str, list[float]]]  # trained on; genotype of; PSNR in dB by seed


@dataclass(frozen=True)
class Transfer:
    """What a matrix says.

    Attributes:
        cells: PSNR in dB: the task trained on, the task whose genotype it is, a value for each seed.
        against_own: A foreign genotype less the task's own, by task trained on and task of the genotype.
        shown: The pairs, as ``"on/of"``, whose difference stands after Holm's correction.
        own_less_others: A task's own genotype less the others, a mean over tasks and others for each seed.
    """

    cells: Cells
    against_own: dict[str, dict[str, Interval]]
    shown: set[str]
    own_less_others: Interval

    @property
    def verdict(self) -> str:
        """Whether structures of their own pay, in words."""
        gap = self.own_less_others
        return verdict("A task's own genotype", "those of the other tasks", gap, not gap.low <= 0 <= gap.high)


def transfer(
    configs: Mapping[str, Config], genotypes: Mapping[str, Genotype], seeds: int, out: Path, resume: bool = False
) -> Cells:
    """Trains every genotype on every task.

    Args:
        configs: Settings by the label of the task.
        genotypes: What was found for each, by the same labels.
        seeds: Trainings of each pair; a seed is the same for all genotypes of a task.
        out: Folder of the cells; those that are finished there are kept.
        resume: Whether it may hold cells already.

    Returns:
        PSNR in dB on the task's validation images.

    Raises:
        InputError: If there is no seed, the folder is in use, or a training fails.
    """
    if seeds < 1:
        raise InputError(f"{seeds} seeds were given; give 1 or more.")
    if out.exists() and not resume:
        raise InputError(f"'{out}' already holds trainings; carry them on with --resume or choose another --out.")
    cells: Cells = {on: {of: [] for of in genotypes} for on in configs}
    done = 0
    with Progress("transfer", len(configs) * len(genotypes) * seeds, "trainings") as progress:
        for on, config in configs.items():
            for k in range(seeds):
                known: dict[Genotype, float] = {}
                for of, genotype in genotypes.items():
                    moved = dataclasses.replace(genotype, task=config.task, scale=config.genotype_scale)
                    if moved not in known:
                        known[moved] = _cell(config, moved, config.manual_seed + k, out / on / f"{of}-{k}")
                    cells[on][of].append(known[moved])
                    done += 1
                    progress.update(done, {"psnr_db": known[moved]})
    return cells


def judge(cells: Cells) -> Transfer:
    """The differences in a matrix, with intervals over the seeds.

    Args:
        cells: Of ``transfer``; every task has its own genotype there.
    """
    against_own = {
        on: {of: difference(row[of], row[on]) for of in row if of != on} for on, row in cells.items() if on in row
    }
    shown = significant(
        {f"{on}/{of}": gap.p_value for on, row in against_own.items() for of, gap in row.items()}, 1 - CONFIDENCE
    )
    seeds = len(next(iter(next(iter(cells.values())).values())))
    gains = [
        _mean([row[on][k] - row[of][k] for on, row in cells.items() for of in row if of != on]) for k in range(seeds)
    ]
    return Transfer(cells, against_own, shown, interval(gains))


def transfer_table(found: Transfer) -> str:
    """The matrix in Markdown: PSNR of the own genotype, the others as differences from it with their intervals."""
    labels = list(found.cells)
    rows = [
        "| trained on | PSNR of its own (dB) | " + " | ".join(f"genotype of {label}" for label in labels) + " |",
        "|---" * (len(labels) + 2) + "|",
    ]
    for on in labels:
        cells = []
        for of in labels:
            gap = found.against_own[on].get(of)
            word = "" if f"{on}/{of}" in found.shown else f", {NO_DIFFERENCE}"
            cells.append("own" if gap is None else f"{gap}{word}")
        rows.append(f"| {on} | {_mean(found.cells[on][on]):.2f} | {' | '.join(cells)} |")
    return "\n".join(rows)


def transfer_record(found: Transfer) -> dict[str, Any]:
    """The matrix for JSON."""
    gap = found.own_less_others
    return {
        "psnr_db": found.cells,
        "own_less_others_db": {"mean": gap.mean, "low": gap.low, "high": gap.high, "n": gap.n} if gap.n > 1 else None,
        "verdict": found.verdict,
    }


def _cell(config: Config, genotype: Genotype, seed: int, folder: Path) -> float:
    """PSNR in dB of one training, taken from its folder where it is there."""
    done = folder / "cell.json"
    if done.is_file():
        kept = json.loads(done.read_text(encoding="utf-8"))
        if kept["genotype"] == genotype.to_dict() and kept["iterations"] == config.search.trial_iter:
            psnr_db: float = kept["psnr_db"]
            return psnr_db
    if folder.exists():  # cut short, or of another genotype
        shutil.rmtree(folder)
    trial = run_trial(dataclasses.replace(config, manual_seed=seed + _FRESH_SEED), genotype, folder)
    record = {"psnr_db": trial.psnr_db, "iterations": config.search.trial_iter, "genotype": genotype.to_dict()}
    with atomic_file(done) as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return trial.psnr_db


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
