"""One trial of a multi-trial search: a genotype's network, trained shortly and validated.

The size is the search's, the optimizer is the training's, and its schedule is shortened in proportion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from jsnas.checkpoint import save_checkpoint
from jsnas.cost import cost_of
from jsnas.data.patches import dead_workers_reported, patch_loader
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from trainers.config import Config
from trainers.learning_step import LearningStep, fabric_of
from trainers.loss_meter import LossMeter
from trainers.plugins import use_plugins
from trainers.run_folder import RunFolder
from trainers.streams import open_data, patch_stream, pick_device, worker_count
from trainers.validate import validation_psnr


@dataclass(frozen=True)
class TrialResult:
    """What a trial measured.

    Attributes:
        psnr_db: Validation PSNR after the last iteration.
        parameters: Of the network trained.
        multiply_adds: Of the network trained, for a 1280 x 720 output.
        seconds: Time the trial took.
    """

    psnr_db: float
    parameters: int
    multiply_adds: int
    seconds: float


def run_trial(
    config: Config, genotype: Genotype, out: Path, report: Callable[[int, float], None] | None = None
) -> TrialResult:
    """Trains a genotype's network for ``search.trial_iter`` iterations on the weights' images, and validates it.

    Args:
        config: Settings; the data must be named. The same config and genotype give the same result on one machine.
        genotype: The architecture.
        out: Run folder of the trial: config, genotype, ``metrics.jsonl``, ``trial.json``, checkpoint.
        report: Called with (iteration, validation PSNR in dB) at each validation but the last.

    Raises:
        InputError: If a setting, the data or the folder cannot be used, or the loss stops being finite.
    """
    with torch.random.fork_rng():  # a strategy that proposes trials may draw from the same generator
        return _run_trial(config, genotype, out, report)


def _run_trial(
    config: Config, genotype: Genotype, out: Path, report: Callable[[int, float], None] | None
) -> TrialResult:
    start = time.monotonic()
    use_plugins(config)
    data = open_data(config)
    pick_device(config.device)  # before a folder is made
    torch.manual_seed(config.manual_seed)
    network = trial_network(config, genotype)
    cost = cost_of(network)
    with RunFolder(out, config, "trial", resume=False) as run, dead_workers_reported():
        run.write_text("genotype.json", genotype.to_json())
        fabric = fabric_of(replace(config, devices=1, num_nodes=1))
        t, total = config.train, config.search.trial_iter
        halve_every = max(1, round(t.halve_every * total / t.total_iter))
        step = LearningStep(network, config, fabric)
        stream, pinned = patch_stream(data, config, "weights"), fabric.device.type == "cuda"
        batches = patch_loader(stream, 0, total, worker_count(config), pinned)
        losses = LossMeter(fabric.device, "try a lower train.learning_rate, or precision 32-true.")
        for iteration, batch in enumerate(batches, start=1):
            losses.add(step(batch, t.learning_rate * 0.5 ** ((iteration - 1) // halve_every)))
            last = iteration == total
            validates = last or (config.val.val_freq > 0 and iteration % config.val.val_freq == 0)
            if validates or iteration % config.logger.print_freq == 0:
                metrics = {"loss": losses.read(iteration)}
                if validates:
                    metrics["psnr_db"] = validation_psnr(network, data, config, fabric.device)
                    if report is not None and not last:
                        report(iteration, metrics["psnr_db"])
                run.log(iteration, metrics)
        result = TrialResult(metrics["psnr_db"], cost.parameters, cost.multiply_adds, time.monotonic() - start)
        measured = {"validation_psnr_db": result.psnr_db, "iteration": total}
        save_checkpoint(out / "checkpoint.safetensors", network, data.task, measured)
        run.write_json("trial.json", vars(result))  # last: a search that is carried on takes it for done
    return result


def trial_network(config: Config, genotype: Genotype) -> JSNet:
    """A genotype's network at the size of the search, freshly initialised from torch's global generator."""
    return JSNet(genotype, search_size(config))


def search_size(config: Config) -> NetworkSettings:
    """The size of the networks that a search compares; only the joint space has the fusion module."""
    s, task = config.search, config.to_task()
    fusion = config.network.fusion_kernels if s.space == "joint" else None
    return NetworkSettings(task.image_channels, task.scale, s.modules, s.channels, s.inner_channels, fusion)
