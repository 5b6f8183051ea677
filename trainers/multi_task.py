"""The search for several tasks at once: one supernet, an architecture for each task.

Read from top to bottom: a task is its packed images; each has a run folder of its own, as a search for it alone would
have; the tasks take turns on the shared weights; what was found is compared edge by edge.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jsnas.data.patches import dead_workers_reported, patch_loader
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.strategy.moments import lay_out_moments
from jsnas.strategy.multi_task import TaskModule, share_weights, shared_optimizer
from search_spaces import JointSearchSpace
from trainers.budget import Budget, make_budget
from trainers.config import Config
from trainers.interrupt import StopRequest
from trainers.plugins import use_plugins
from trainers.progress import Progress
from trainers.ranks import Ranks
from trainers.report import LiveReport
from trainers.restoration_module import RestorationModule
from trainers.run_folder import RunFolder
from trainers.search import check_validation, check_warmup, quiet_nni
from trainers.search_journal import SearchJournal
from trainers.space import build_space
from trainers.state import load_state_of, random_states, restore_random_states, save_state
from trainers.strategies import check_space, make_strategy
from trainers.streams import Data, open_data, patch_stream, pick_device, worker_count
from trainers.task_data import task_configs
from trainers.task_differences import differences

NAME = "tasks.json"


@dataclass
class _Part:
    """One task of the search."""

    module: TaskModule
    run: RunFolder
    journal: SearchJournal
    weights: Iterator[Any]
    budget: Budget | None


def multi_task_search(config: Config, sources: Sequence[str], out: Path, resume: bool = False) -> dict[str, Genotype]:
    """Searches an architecture for each task on shared weights.

    Args:
        config: Settings of all tasks; its own task and data play no part.
        sources: As for ``task_configs``.
        out: Run folder. Each task has a folder there, named by its label, with what a search leaves.
        resume: Whether to carry on from the newest state there.

    Returns:
        The genotype of each task, by label.

    Raises:
        InputError: If a setting, the data or the folder cannot be used, or a loss stops being finite.
    """
    _check(config)
    use_plugins(config)
    configs = task_configs(config, sources)
    quiet_nni()
    Ranks().seed(config.manual_seed)
    data = {label: open_data(each) for label, each in configs.items()}
    spaces = {label: build_space(each) for label, each in configs.items()}
    for label, space in spaces.items():
        check_validation(configs[label], data[label], space.network.smallest_input)
        for images in ("weights", "architecture"):
            patch_stream(data[label], configs[label], images)
    with RunFolder(out, config, "multitask", resume) as run, contextlib.ExitStack() as stack:
        state = load_state_of(out / "states", "tasks") if resume else None
        if state is not None and list(state["tasks"]) != list(configs):
            before = ", ".join(state["tasks"])
            raise InputError(
                f"The run in '{out}' is of {before}, but {', '.join(configs)} were given; carry it on with the same "
                "tasks in the same order."
            )
        run.write_json(NAME, {label: each.datasets.path for label, each in configs.items()})
        first = int(state["iteration"]) if state is not None else 0
        parts = {
            label: stack.enter_context(_opened(configs[label], data[label], spaces[label], out / label, resume, first))
            for label in configs
        }
        genotypes = _search(config, parts, run, state, first)
        run.write_json("differences.json", differences(genotypes))
        for label, part in parts.items():
            if part.budget is not None:
                part.run.write_json("budget.json", part.budget.report(genotypes[label]))
            assert part.run.page is not None
            part.run.page.done()
    return genotypes


def _check(config: Config) -> None:
    """Says what a search for several tasks cannot do."""
    if config.strategy.name != "pc_darts":
        raise InputError(
            f"Several tasks are searched with pc_darts, but '{config.strategy.name}' was given; leave it out."
        )
    if config.devices * config.num_nodes > 1 or config.precision == "16-mixed":
        raise InputError("Several tasks are searched on one device in 32-true or bf16-mixed; leave the others out.")
    if config.search.guard == "stop":
        raise InputError("With several tasks no one of them can stop the search; set search.guard to warn or rollback.")
    check_warmup(config)


@contextlib.contextmanager
def _opened(
    config: Config, data: Data, space: JointSearchSpace, out: Path, resume: bool, first: int
) -> Iterator[_Part]:
    """A task with its run folder; its space becomes a supernet."""
    strategy: Any = make_strategy(config)
    check_space(strategy, space)
    device, s, workers = pick_device(config.device), config.search, worker_count(config)

    def batches(images: str, start: int, end: int) -> Iterator[Any]:
        stream = patch_stream(data, config, images)
        for batch in patch_loader(stream, start, end, workers, pinned=device.type == "cuda"):
            yield tuple(tensor.to(device, non_blocking=True) for tensor in batch)

    warmup, total = s.weight_warmup_iters, s.total_iter
    architecture = batches("architecture", max(first, warmup), max(total, warmup))
    inner = RestorationModule(s.learning_rate, s.betas, s.weight_decay)
    inner.set_model(strategy.mutate_model(space))
    module = TaskModule(inner, strategy.settings, lambda: next(architecture))
    budget = make_budget(config)
    if budget is not None:
        module.penalty = budget.expected_penalty
    with RunFolder(out, config, "multitask", resume) as run:
        run.page = LiveReport(out, "search", config, data.images)
        journal = SearchJournal(run, data, config, None)
        journal.start(device)
        yield _Part(module, run, journal, batches("weights", first, total), budget)


def _search(
    config: Config, parts: Mapping[str, _Part], run: RunFolder, state: dict[str, Any] | None, first: int
) -> dict[str, Genotype]:
    """The iterations, each a step of every task."""
    s, device = config.search, pick_device(config.device)
    share_weights([part.module.training_module.model for part in parts.values()])
    for part in parts.values():
        part.module.to(device)
    optimizer = shared_optimizer(
        [part.module for part in parts.values()],
        lambda weights: torch.optim.Adam(
            weights, lr=s.learning_rate, betas=s.betas, weight_decay=s.weight_decay, fused=True
        ),
    )
    for label, part in parts.items():
        part.module.prepare(optimizer, config.precision)
        if state is not None:
            part.journal.restore(part.module, state["tasks"][label])
        part.run.rewind(first)
    if state is not None:
        optimizer.load_state_dict(state["weight_optimizer"])
        lay_out_moments(optimizer)
        for group in optimizer.param_groups:
            group["lr"] = s.learning_rate  # which may be lowered after a loss that diverged
        restore_random_states(state["random"])
    with (
        Progress("multitask", s.total_iter, done=first) as progress,
        StopRequest() as stop,
        dead_workers_reported(),
    ):
        for iteration in range(first + 1, s.total_iter + 1):
            for part in parts.values():
                part.journal.losses.add(_step(part, config, device))
            last = iteration == s.total_iter
            _note(config, parts, iteration, last)
            if last or stop.requested or iteration % config.logger.save_checkpoint_freq == 0:
                for part in parts.values():
                    part.journal.check(part.module, iteration)
                content = {
                    "tasks": {label: part.journal.state_of(part.module) for label, part in parts.items()},
                    "weight_optimizer": optimizer.state_dict(),
                    "random": random_states(),
                }
                save_state(run.path / "states", iteration, content)
            scores = {f"psnr_{label}_db": part.journal.psnr_db for label, part in parts.items()}
            progress.update(iteration, {name: score for name, score in scores.items() if math.isfinite(score)})
            if stop.requested and not last:
                raise KeyboardInterrupt
    for part in parts.values():
        part.module.on_train_end()
    return {label: Genotype.load(part.run.path / "genotype.json") for label, part in parts.items()}


def _step(part: _Part, config: Config, device: torch.device) -> Tensor:
    """The architecture step and the weight step of one task."""
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16-mixed"):
        return part.module.training_step(next(part.weights), part.module.iteration)


def _note(config: Config, parts: Mapping[str, _Part], iteration: int, last: bool) -> None:
    """Validates and writes when it is time; at the end the genotypes."""
    validates = last or (config.val.val_freq > 0 and iteration % config.val.val_freq == 0)
    for part in parts.values():
        journal, module = part.journal, part.module
        if validates:
            journal.check(module, iteration)
            journal.psnr_db = journal.validate(module)
        if validates or iteration % config.logger.print_freq == 0:
            journal.write(module, iteration, validates)
        if last:
            genotype = journal.genotype(module.export(), with_scale=True)
            part.run.write_text("genotype.json", genotype.to_json())
