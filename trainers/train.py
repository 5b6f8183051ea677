"""Training of a derived network: a plain loop on Lightning Fabric (paper, Sec. 4.1.3).

Read from top to bottom: open the data, build the network, step, validate, keep the best, save.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from jsnas.checkpoint import load_checkpoint, save_checkpoint
from jsnas.data.patches import PatchBatches, dead_workers_reported, patch_loader
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.lookup import network_of
from jsnas.network import JSNet, NetworkSettings
from trainers.config import Config
from trainers.gallery import Gallery
from trainers.inherit import start_from_supernet, write_inheritance
from trainers.interrupt import StopRequest
from trainers.launch import on_all_devices, starts_processes
from trainers.learning_step import LearningStep, fabric_of
from trainers.loss_meter import LossMeter, resuming_advice
from trainers.model_card import NAME as CARD_NAME
from trainers.model_card import ModelCard
from trainers.plugins import try_blocks_of, use_plugins
from trainers.progress import Progress
from trainers.ranks import Ranks
from trainers.report import LiveReport
from trainers.run_folder import RunFolder
from trainers.state import load_state_of, random_states, restore_random_states, save_state
from trainers.streams import Data, open_data, patch_stream, worker_count
from trainers.validate import validation_psnr


def train(config: Config, out: Path, resume: bool = False, page: LiveReport | None = None) -> JSNet:
    """Trains the network of a genotype and leaves its best checkpoint in a run folder.

    It starts from fresh weights, or where ``train.inherit`` is set from those of a search's supernet.

    The checkpoint kept is the one of the highest PSNR on the held-out validation images; test sets play no part.

    Args:
        config: Settings; the data and the genotype must be named.
        out: The run folder.
        resume: Whether to carry on from the newest state there.
        page: The page of a run that this training is a part of.

    Returns:
        The network of the checkpoint kept, on the CPU.

    Raises:
        InputError: If a setting, the data or the folder cannot be used, or the loss stops being finite.
    """
    use_plugins(config)
    if starts_processes(config):
        on_all_devices(_train, config, out, resume)
    else:
        _train(config, out, resume, page)
    return load_checkpoint(out / "checkpoint.safetensors")


def _train(config: Config, out: Path, resume: bool, page: LiveReport | None = None) -> None:
    """The training in this process, which may be one of several."""
    ranks = Ranks.of(config)
    ranks.silence_others()
    use_plugins(config)
    data = open_data(config)
    genotype = load_genotype(config)
    stream = patch_stream(data, config, "weights", ranks)
    settings = NetworkSettings.for_task(data.task, **vars(config.network))
    try_blocks_of(genotype, settings, config)
    ranks.seed(config.manual_seed)
    network = JSNet(genotype, settings)
    started = resume and any((out / "states").glob("*.pt"))
    source = Path(config.train.inherit) if config.train.inherit is not None and not started else None
    inherited = start_from_supernet(network, source) if source is not None else None
    with RunFolder(out, config, "train", resume, ranks.first) as run:
        run.page = LiveReport(out, "train", config, data.images, page) if ranks.first else None
        run.write_text("genotype.json", genotype.to_json())
        if source is not None and inherited is not None:
            write_inheritance(run, source, inherited)
            if ranks.first:
                print(f"From the supernet in '{source}': {inherited}.", file=sys.stderr)
        _fit(network, config, data, stream, run, resume, ranks)
        if run.page is not None:
            run.page.done()
    ranks.any(False)  # the checkpoint is there before any process reads it


def _fit(
    network: JSNet, config: Config, data: Data, stream: PatchBatches, run: RunFolder, resume: bool, ranks: Ranks
) -> None:
    total = config.train.total_iter
    unused = ranks.count > 1 and _leaves_some_out(network)
    fabric = fabric_of(config, DDPStrategy(find_unused_parameters=unused) if ranks.count > 1 else "auto")
    if ranks.count > 1:
        fabric.launch()
        ranks.connect()
    step = LearningStep(network, config, fabric)
    average = copy.deepcopy(network).requires_grad_(False) if config.train.ema_decay else None

    card, gallery = ModelCard(network, data, config), Gallery(data)
    first, best_psnr = 0, -math.inf
    losses = LossMeter(fabric.device, resuming_advice("train.learning_rate"), ranks)
    shown: dict[str, float | str] = {}  # beside the progress
    if resume and (state := load_state_of(run.path / "states", "best_psnr")) is not None:
        first, best_psnr = int(state["iteration"]), float(state["best_psnr"])
        losses.load_state(state)
        network.load_state_dict(state["network"])
        step.optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load_state_dict(state["average"])
        restore_random_states(state["random"])
    run.rewind(first)
    ranks.check_start(data.images.sha256(), run.path, first)

    batches = patch_loader(stream, first, total, worker_count(config), pinned=fabric.device.type == "cuda")
    with (
        Progress("train", total, done=first, shown=ranks.first) as progress,
        StopRequest() as stop,
        dead_workers_reported(),
    ):
        for iteration, batch in enumerate(batches, start=first + 1):
            rate = config.train.learning_rate * 0.5 ** ((iteration - 1) // config.train.halve_every)
            losses.add(step(batch, rate))
            if average is not None:
                _update_average(average, network, config.train.ema_decay, iteration)

            stopping = ranks.any(stop.requested)
            validates = iteration == total or (config.val.val_freq > 0 and iteration % config.val.val_freq == 0)
            metrics: dict[str, float] = {}
            if validates:
                losses.check(iteration, network.state_dict().values())
                kept = average if average is not None else network
                metrics["psnr_db"] = validation_psnr(kept, data, config, fabric.device, gallery.add, ranks)
                if metrics["psnr_db"] > best_psnr:
                    best_psnr = metrics["psnr_db"]
                    if ranks.first:
                        _keep(run, network, kept, data, config, card, best_psnr, iteration)
                        gallery.write(run, iteration)
            if validates or iteration % config.logger.print_freq == 0:
                metrics["loss"] = losses.read(iteration)
                metrics["learning_rate"] = rate
                run.log(iteration, metrics)
                shown["loss"] = metrics["loss"]
            if iteration == total or stopping or iteration % config.logger.save_checkpoint_freq == 0:
                ranks.check_equal("weights", list(network.state_dict().values()))
                losses.check(iteration, network.state_dict().values())
                content: dict[str, Any] = {
                    "network": network.state_dict(),
                    "optimizer": step.optimizer.state_dict(),
                    "average": average.state_dict() if average is not None else {},
                    "best_psnr": best_psnr,
                    **losses.state(),
                    "random": random_states(),
                }
                if ranks.first:
                    save_state(run.path / "states", iteration, content)
            if math.isfinite(best_psnr):
                shown["best_psnr_db"] = best_psnr
            progress.update(iteration, shown)
            if stopping and iteration < total:
                raise KeyboardInterrupt


def _leaves_some_out(network: JSNet) -> bool:
    """Whether some parameters have no part in the output, as where no node takes the output of an edge."""
    with torch.random.fork_rng():
        probe, side = copy.deepcopy(network), network.smallest_input
        probe(torch.zeros(2, network.settings.image_channels, side, side)).sum().backward()
    return any(parameter.grad is None for parameter in probe.parameters())


def _keep(
    run: RunFolder,
    network: JSNet,
    kept: JSNet,
    data: Data,
    config: Config,
    card: ModelCard,
    psnr_db: float,
    iteration: int,
) -> None:
    """Writes the best checkpoint so far and its card."""
    found = {"validation_psnr_db": psnr_db, "iteration": iteration}
    save_checkpoint(run.path / "checkpoint.safetensors", network, data.task, found, kept.state_dict())
    held_out = f"{min(len(data.split.validation), config.val.max_images)} held-out images"
    run.write_text(CARD_NAME, card.text(iteration, {"PSNR, dB": psnr_db}, held_out))


def load_genotype(config: Config) -> Genotype:
    """The genotype to train, at the scale of the config.

    Raises:
        InputError: If none is named, it cannot be read, or it is of another task.
    """
    source = config.train.genotype or config.train.inherit
    if source is None:
        raise InputError("No genotype was given; name a file, a search's folder or a shipped one with --genotype.")
    genotype = network_genotype(source)
    if genotype.task != config.task:
        raise InputError(
            f"The genotype '{source}' is for task '{genotype.task}', but the config is for "
            f"'{config.task}'; choose a genotype of that task."
        )
    return replace(genotype, scale=config.genotype_scale)


def network_genotype(source: str) -> Genotype:
    """The genotype of a genotype file, a shipped name, a run folder or a checkpoint."""
    return network_of(source).genotype


@torch.no_grad()
def _update_average(average: JSNet, network: JSNet, decay: float, iteration: int) -> None:
    """Exponential moving average, its decay raised from 0 so that the start is forgotten."""
    decay = min(decay, iteration / (iteration + 10))
    theirs: Mapping[str, Tensor] = network.state_dict()
    pairs = [(value, theirs[name]) for name, value in average.state_dict().items() if value.is_floating_point()]
    torch._foreach_lerp_([ours for ours, _ in pairs], [new for _, new in pairs], 1 - decay)
