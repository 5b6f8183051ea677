"""Trials that are predicted instead of trained: the evaluator `surrogate` of a multi-trial search."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from jsnas.bench import load_table
from jsnas.cost import cost_of
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.surrogate import Group, Surrogate, groups, quality
from trainers.config import Config
from trainers.trial import TrialResult, search_size, trial_network


def surrogate_trials(config: Config) -> Callable[[Genotype], TrialResult]:
    """What predicts a trial's result; it says on what it was fitted, and how far its ranks can be trusted.

    Of a table with several protocols or lengths of training, the one of the config's task and size with most genotypes
    is taken; the images and the length may be others than the config's.

    Raises:
        InputError: If the table cannot be read, has nothing for the task and size, or holds too few genotypes.
    """
    assert config.search.bench is not None
    path = Path(config.search.bench)
    group = _fitting(config, path)
    print(f"Surrogate of '{path}'. {quality(group)}", file=sys.stderr)
    model = Surrogate.of(group)

    def predict(genotype: Genotype) -> TrialResult:
        start = time.monotonic()
        cost = cost_of(trial_network(config, genotype))
        psnr_db = model.predict([genotype])[0]
        return TrialResult(psnr_db, cost.parameters, cost.multiply_adds, time.monotonic() - start)

    return predict


def _fitting(config: Config, path: Path) -> Group:
    rows, protocols = load_table(path)
    task, size = config.to_task().to_dict(), json.loads(json.dumps(dataclasses.asdict(search_size(config))))
    of_task = [group for group in groups(rows) if protocols[group.protocol].get("task") == task]
    if not of_task:
        raise InputError(
            f"The table '{path}' has no training for {config.to_task().label}; fill one with `jsnas bench fill`."
        )
    fitting = [group for group in of_task if protocols[group.protocol].get("network") == size]
    if not fitting:
        other = protocols[of_task[0].protocol].get("network")
        raise InputError(f"The table '{path}' has only networks of other sizes, {other}; the search has {size}.")
    return fitting[0]
