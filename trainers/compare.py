"""Several strategies under one budget of iterations: each searches, and what it found is trained and validated alike.

A one-shot strategy trains its supernet for the whole budget; a multi-trial one trains as many networks as fit into
it. What each finds is then trained anew for ``search.trial_iter`` iterations under a seed that no search has used.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.config import Config
from trainers.progress import Progress
from trainers.run_folder import RunFolder
from trainers.search import quiet_nni, search
from trainers.space import build_space
from trainers.strategies import check_space, is_one_shot, make_strategy
from trainers.trial import run_trial

FRESH_SEED = 1_000_003  # added to a search's seed for the training that is compared


@dataclass(frozen=True)
class Comparison:
    """What one strategy reached.

    Attributes:
        strategy: Its name.
        psnr_db: Validation PSNR of what it found, for each seed.
        parameters: Of what it found, for each seed.
        multiply_adds: For a 1280 x 720 output, for each seed.
        search_seconds: Time of the search, for each seed.
    """

    strategy: str
    psnr_db: list[float]
    parameters: list[int]
    multiply_adds: list[int]
    search_seconds: list[float]


def compare(
    config: Config, strategies: Sequence[str], budget: int, seeds: int, out: Path, resume: bool = False
) -> list[Comparison]:
    """Searches with each strategy and seed, and trains what was found.

    Args:
        config: Settings; ``strategy.args`` go to the strategy that ``strategy.name`` names, the others keep their
            defaults. The warm-up keeps its share of the iterations.
        strategies: Names as for ``strategy.name``.
        budget: Iterations that each search may take.
        seeds: Searches of each strategy, with seeds from ``manual_seed`` on.
        out: Run folder; every search and training goes into a folder of its own there.
        resume: Whether to carry on the comparison in the folder.

    Raises:
        InputError: If a strategy cannot be used, or the budget is too small for one trial.
    """
    if not strategies:
        raise InputError("No strategy was named; name at least two to compare, such as pc_darts random.")
    for name in strategies:
        if list(strategies).count(name) > 1:
            raise InputError(f"Strategy '{name}' is named twice; name each once.")
    if budget < 1 or seeds < 1:
        raise InputError(f"A budget of {budget} iterations and {seeds} seeds were given; give 1 or more of each.")
    quiet_nni()
    configs = {name: under_budget(config, name, budget) for name in strategies}
    comparisons: list[Comparison] = []
    with (
        RunFolder(out, config, "compare", resume) as run,
        Progress("compare", len(strategies) * seeds, "searches") as progress,
    ):
        for name in strategies:
            results = []
            for k in range(seeds):
                seed = config.manual_seed + k
                folder = out / f"{name.replace(':', '.')}-{seed}"
                results.append(_search_and_train(configs[name], seed, folder, resume))
                figures: dict[str, float | str] = {"strategy": name, "psnr_db": float(results[-1]["psnr_db"])}
                progress.update(len(comparisons) * seeds + k + 1, figures)
            columns: dict[str, Any] = {
                field.name: [result[field.name] for result in results]
                for field in dataclasses.fields(Comparison)
                if field.name != "strategy"
            }
            comparisons.append(Comparison(name, **columns))
        run.write_json(
            "comparison.json", {"budget": budget, "seeds": seeds, "strategies": [asdict(c) for c in comparisons]}
        )
    return comparisons


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """The comparison as a Markdown table: mean and sample standard deviation over the seeds."""
    rows = ["| strategy | PSNR (dB) | parameters | multiply-adds | search (s) |", "|---|---|---|---|---|"]
    for c in comparisons:
        spread = f" ± {statistics.stdev(c.psnr_db):.2f}" if len(c.psnr_db) > 1 else ""
        rows.append(
            f"| {c.strategy} | {statistics.mean(c.psnr_db):.2f}{spread} | "
            f"{statistics.mean(c.parameters) / 1e3:,.0f} k | "
            f"{statistics.mean(c.multiply_adds) / 1e9:.1f} G | {statistics.mean(c.search_seconds):.0f} |"
        )
    return "\n".join(rows)


def with_budget(config: Config, budget: int) -> Config:
    """The config with another length of its searches; the warm-up keeps its share.

    Raises:
        InputError: If the budget is below 1.
    """
    if budget < 1:
        raise InputError(f"A budget of {budget} iterations was given; give 1 or more.")
    s = config.search
    warmup = round(budget * s.weight_warmup_iters / s.total_iter)
    return dataclasses.replace(config, search=dataclasses.replace(s, total_iter=budget, weight_warmup_iters=warmup))


def under_budget(config: Config, name: str, budget: int) -> Config:
    """The config of one strategy; asks it now whether it can be used.

    Raises:
        InputError: If it cannot, or the budget is too small for it.
    """
    s = config.search
    args = config.strategy.args if name == config.strategy.name else {}
    limited = dataclasses.replace(
        with_budget(config, budget), strategy=dataclasses.replace(config.strategy, name=name, args=args)
    )
    strategy = make_strategy(limited)
    check_space(strategy, build_space(limited))
    if is_one_shot(strategy):
        return limited
    if budget < s.trial_iter:
        raise InputError(
            f"A budget of {budget} iterations is less than one trial of '{name}' takes; raise --budget or lower "
            f"search.trial_iter, which is {s.trial_iter}."
        )
    return dataclasses.replace(limited, search=dataclasses.replace(limited.search, max_trials=budget // s.trial_iter))


def _search_and_train(config: Config, seed: int, folder: Path, resume: bool) -> dict[str, float]:
    done = folder / "result.json"
    if resume and done.is_file():
        kept: dict[str, float] = json.loads(done.read_text(encoding="utf-8"))
        return kept
    if resume and folder.exists():
        shutil.rmtree(folder)  # cut short; time would be measured wrong
    config = dataclasses.replace(config, manual_seed=seed)
    start = time.monotonic()
    genotype: Genotype = search(config, folder / "search")
    seconds = time.monotonic() - start
    trial = run_trial(dataclasses.replace(config, manual_seed=seed + FRESH_SEED), genotype, folder / "trained")
    result = {
        "psnr_db": trial.psnr_db,
        "parameters": trial.parameters,
        "multiply_adds": trial.multiply_adds,
        "search_seconds": seconds,
    }
    with atomic_file(done) as temporary:
        temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return result
