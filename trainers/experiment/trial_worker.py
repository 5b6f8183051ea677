"""The work of a trial of an experiment: ``python -m trainers.experiment.trial_worker``, started by ``trial_main``.

It asks NNI for its parameters, trains one network, runs one whole search or plays an entry of a tournament, and
reports to NNI: the validation PSNR whenever there is one, and at the end PSNR, parameters and multiply-adds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nni
import torch
from nni.runtime.trial_command_channel import get_default_trial_command_channel

from jsnas.cost import cost_of
from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.lookup import network_of
from jsnas.process import prepare_process
from jsnas.sample import genotype_from_sample
from trainers.config import Config
from trainers.config_file import load_config
from trainers.experiment.plan import ENTRY, NETWORK, SEARCH, with_settings
from trainers.experiment.trials import trial_folder_name
from trainers.experiment.words import from_words
from trainers.plugins import use_plugins
from trainers.search import quiet_nni, search
from trainers.tournament.contestants import contestants_of, play
from trainers.tournament.run import bench_of
from trainers.trial import run_trial, trial_network


@dataclass(frozen=True)
class Outcome:
    """What a trial found.

    Attributes:
        psnr_db: Validation PSNR.
        parameters: Of the network, at the size of the search.
        multiply_adds: Of the same, for a 1280 x 720 output.
        genotype: Its architecture.
    """

    psnr_db: float
    parameters: int
    multiply_adds: int
    genotype: Genotype


class Reporter:
    """Reports to NNI.

    ``nni.report_intermediate_result`` would not do: a search inside the trial is an experiment of its own, and NNI
    sends what is reported meanwhile to that one, under its numbers.

    Attributes:
        parameters: What this trial was given.
    """

    def __init__(self) -> None:
        self._channel = get_default_trial_command_channel()
        record = self._channel.receive_parameter()
        if record is None:
            raise InputError("NNI gave this trial no parameters; start it through `jsnas experiment`.")
        self.parameters: dict[str, Any] = dict(record["parameters"])
        self._parameter_id, self._trial_id, self._sequence = record["parameter_id"], nni.get_trial_id(), 0

    def intermediate(self, iteration: int, psnr_db: float) -> None:
        """A point of the trial's curve."""
        if math.isfinite(psnr_db):
            self._channel.send_metric("PERIODICAL", self._parameter_id, self._trial_id, self._sequence, psnr_db)
            self._sequence += 1

    def final(self, outcome: Outcome, elsewhere: bool) -> None:
        """The result; NNI plots and compares ``default``. From ``elsewhere`` the genotype goes this way too."""
        figures: dict[str, Any] = {
            "default": outcome.psnr_db,
            "parameters": outcome.parameters,
            "multiply_adds": outcome.multiply_adds,
        }
        if elsewhere:
            figures["genotype"] = json.dumps(outcome.genotype.to_dict())
        self._channel.send_metric("FINAL", self._parameter_id, self._trial_id, 0, figures)


def main(words: Sequence[str] | None = None) -> int:
    """Runs one trial.

    Args:
        words: ``--run FOLDER`` of the experiment, ``--kind network``, ``search`` or ``entry``, and ``--elsewhere``
            where that folder is a copy on another machine.

    Returns:
        The exit code; NNI shows a trial whose code is not 0 as failed.
    """
    parser = argparse.ArgumentParser(prog="python -m trainers.experiment.trial_worker", allow_abbrev=False)
    parser.add_argument("--run", type=Path, required=True, help="run folder of the experiment")
    parser.add_argument("--kind", choices=[NETWORK, SEARCH, ENTRY], required=True, help="what a trial is")
    parser.add_argument("--elsewhere", action="store_true", help="the result goes back through NNI alone")
    options = parser.parse_args(words)
    prepare_process()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        reporter = Reporter()
        config = _settings(load_config(options.run / "config.yaml"))
        out = options.run / "trials" / trial_folder_name(nni.get_sequence_id(), nni.get_trial_id())
        run = {NETWORK: train_network, SEARCH: run_search, ENTRY: play_entry}[options.kind]
        outcome = run(config, reporter.parameters, out, reporter.intermediate)
        if not math.isfinite(outcome.psnr_db):
            raise InputError(f"The trial ended with a PSNR of {outcome.psnr_db} dB; lower the learning rate.")
        content = {**dataclasses.asdict(outcome), "genotype": outcome.genotype.to_dict()}
        with atomic_file(out / "result.json") as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        reporter.final(outcome, options.elsewhere)
    except InputError as error:
        print(f"jsnas: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jsnas: stopped.", file=sys.stderr)
        return 130
    return 0


def train_network(
    config: Config, parameters: dict[str, Any], out: Path, report: Callable[[int, float], None]
) -> Outcome:
    """Trains the network that a sample in words names, and validates it."""
    use_plugins(config)
    genotype = genotype_from_sample(from_words(parameters), config.task, config.genotype_scale)
    print(genotype)
    if out.exists():  # it was interrupted, and runs again after a resume
        shutil.rmtree(out)
    result = run_trial(config, genotype, out, report)
    return Outcome(result.psnr_db, result.parameters, result.multiply_adds, genotype)


def run_search(config: Config, parameters: dict[str, Any], out: Path, report: Callable[[int, float], None]) -> Outcome:
    """Runs a one-shot search with some settings changed; one that was interrupted carries on from its newest state."""
    config = with_settings(config, parameters)
    use_plugins(config)
    if out.exists() and not any((out / "states").glob("*.pt")):  # interrupted, with nothing to carry on from
        shutil.rmtree(out)
    with FollowedMetrics(out / "metrics.jsonl", report) as metrics:
        done = out / "genotype.json"
        genotype = network_of(str(done)).genotype if done.exists() else search(config, out, resume=out.exists())
    print(genotype)
    cost = cost_of(trial_network(config, genotype))
    psnr_db = metrics.psnr_db
    if config.experiment.retrain:
        if (out / "retrained").exists():
            shutil.rmtree(out / "retrained")
        psnr_db = run_trial(config, genotype, out / "retrained").psnr_db
    return Outcome(psnr_db, cost.parameters, cost.multiply_adds, genotype)


def play_entry(config: Config, parameters: dict[str, Any], out: Path, report: Callable[[int, float], None]) -> Outcome:
    """Plays one entry of a tournament, which lies in the folder above the experiment's."""
    contestant = next(c for c in contestants_of(config) if c.name == parameters["contestant"])
    tournament_folder = out.parents[2]
    out.mkdir(parents=True, exist_ok=True)
    quiet_nni()
    entry = play(contestant, parameters["seed"], tournament_folder, bench_of(config, tournament_folder))
    if entry.genotype is None or entry.failed:
        raise InputError(entry.failed)
    print(entry.genotype)
    return Outcome(entry.psnr_db, entry.parameters, entry.multiply_adds, entry.genotype)


class FollowedMetrics:
    """Reports the validation PSNR of a run as it appears in its ``metrics.jsonl``.

    Args:
        path: The file; it need not exist yet.
        report: Called with (iteration, PSNR in dB).

    Attributes:
        psnr_db: The newest PSNR, NaN before the first; once a search has compared candidates, that of the best.
    """

    def __init__(self, path: Path, report: Callable[[int, float], None]) -> None:
        self.path, self.report, self.psnr_db = path, report, math.nan
        self._iteration = -1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> FollowedMetrics:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._read()

    def _follow(self) -> None:
        while not self._stop.wait(0.5):
            self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        candidates = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # still being written
            if isinstance(entry.get("candidate_psnr_db"), float):
                candidates.append(entry["candidate_psnr_db"])
            if entry["iteration"] > self._iteration and isinstance(entry.get("psnr_db"), float):
                self._iteration, self.psnr_db = entry["iteration"], entry["psnr_db"]
                self.report(self._iteration, self.psnr_db)
        self.psnr_db = max(candidates, default=self.psnr_db)


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone, for then nobody asks for its result."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _settings(config: Config) -> Config:
    """Shares cores and GPUs out among the trials that run at the same time."""
    concurrency = config.experiment.concurrency
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // concurrency))
    if concurrency > 1 and config.device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        return dataclasses.replace(config, device=f"cuda:{nni.get_sequence_id() % torch.cuda.device_count()}")
    return config


if __name__ == "__main__":
    sys.exit(main())
