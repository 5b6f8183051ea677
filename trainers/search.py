"""The search, from a config to a genotype, through NNI's ``NasExperiment``.

Read from top to bottom: open the data, choose the strategy, build the space; a one-shot strategy trains a supernet
and derives the genotype, a multi-trial one trains one network a trial (``trainers.multi_trial``).
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytorch_lightning.strategies import DDPStrategy

from jsnas.data.patches import patch_loader
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.sample import genotype_from_sample
from jsnas.strategy.alternating import AlternatingModule, DifferentiableStrategy
from jsnas.strategy.enas import ControllerModule
from jsnas.strategy.nni_api import Lightning, ModelSpace, NasExperiment, Strategy, Trainer
from jsnas.strategy.one_shot import MendedProxyless
from jsnas.strategy.random_one_shot import MendedRandomOneShot, RandomPathModule
from jsnas.strategy.search_module import SearchModule
from trainers.budget import Budget, budget_sentence, make_budget
from trainers.config import Config
from trainers.launch import on_all_devices, starts_processes
from trainers.multi_trial import multi_trial_search
from trainers.plugins import use_plugins
from trainers.ranks import Ranks
from trainers.report import LiveReport
from trainers.restoration_module import RestorationModule
from trainers.run_folder import RunFolder
from trainers.search_journal import SearchJournal
from trainers.space import build_space
from trainers.state import load_state_of
from trainers.strategies import check_space, is_one_shot, make_strategy
from trainers.streams import Data, open_data, patch_stream, pick_device, worker_count

_NOT_RESUMABLE = ("enas",)


def search(config: Config, out: Path, resume: bool = False, page: LiveReport | None = None) -> Genotype:
    """Searches, and leaves the genotype and the logs in a run folder.

    Args:
        config: Settings; the data must be named.
        out: The run folder.
        resume: Whether to carry on from the newest state there.
        page: The page of a run that this search is a part of.

    Returns:
        The derived genotype, also written to ``genotype.json``.

    Raises:
        InputError: If a setting, the data or the folder cannot be used, or the loss stops being finite.
    """
    if starts_processes(config):
        return on_all_devices(search, config, out, resume)
    ranks = Ranks.of(config)
    ranks.silence_others()
    use_plugins(config)
    data = open_data(config)
    pick_device(config.device)
    if resume and (config.strategy.name in _NOT_RESUMABLE or ":" in config.strategy.name):
        raise InputError(
            f"A search with '{config.strategy.name}' cannot be carried on; start it anew in another --out."
        )
    quiet_nni()
    ranks.seed(config.manual_seed)
    strategy = make_strategy(config)
    space = build_space(config)
    check_space(strategy, space)
    one_shot = is_one_shot(strategy)
    _check(config, strategy, ranks)
    if one_shot:
        check_warmup(config)
        # says now whether the patches fit
        patch_stream(data, config, "architecture")
    patch_stream(data, config, "weights")
    check_validation(config, data, space.network.smallest_input)
    budget = make_budget(config)
    with RunFolder(out, config, "search", resume, ranks.first) as run:
        run.page = LiveReport(out, "search", config, data.images, page) if ranks.first else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pytorch_lightning|lightning_fabric")
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            warnings.filterwarnings("ignore", message="When using training service", category=RuntimeWarning)
            if one_shot:
                genotype = _one_shot_search(config, run, data, strategy, space, budget, resume, ranks)
            else:
                genotype = multi_trial_search(config, run, strategy, space, budget)
                run.write_text("genotype.json", genotype.to_json())
        if budget is not None:
            report = budget.report(genotype)
            run.write_json("budget.json", report)
            if ranks.first:
                print(budget_sentence(report), file=sys.stderr)
        if run.page is not None:
            run.page.done()
    return genotype


def _one_shot_search(
    config: Config,
    run: RunFolder,
    data: Data,
    strategy: Strategy,
    space: ModelSpace,
    budget: Budget | None,
    resume: bool,
    ranks: Ranks,
) -> Genotype:
    state = load_state_of(run.path / "states", "search") if resume else None
    first = int(state["iteration"]) if state else 0
    total, warmup = config.search.total_iter, config.search.weight_warmup_iters
    if state is not None and (state["stopped"] or first >= total):
        return Genotype.load(run.path / "genotype.json")
    device, workers = pick_device(config.device), worker_count(config)
    pinned = device.type == "cuda"
    streams = {part: patch_stream(data, config, part, ranks) for part in ("weights", "architecture")}
    journal = SearchJournal(run, data, config, state, ranks)
    evaluator = Lightning(
        RestorationModule(
            config.search.learning_rate,
            config.search.betas,
            config.search.weight_decay,
            fused=config.precision != "16-mixed",
        ),
        Trainer(
            max_epochs=1,
            accelerator="gpu" if device.type == "cuda" else device.type,
            devices=config.devices if device.index is None else [device.index],
            num_nodes=config.num_nodes,
            strategy=_ddp(strategy) if ranks.count > 1 else "auto",
            use_distributed_sampler=False,  # the streams are shared out already
            precision=config.precision,
            callbacks=[journal],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(run.path),
        ),
        train_dataloaders=patch_loader(streams["weights"], first, total, workers, pinned),
        # Never asked before the warm-up ends: iteration k takes the k-th batch of this stream too.
        val_dataloaders=patch_loader(streams["architecture"], max(first, warmup), max(total, warmup), workers, pinned),
    )
    if budget is not None:
        _apply_budget(strategy, budget)
    experiment = NasExperiment(space, evaluator, strategy)
    with contextlib.ExitStack() as stack:
        folder = run.path / "nni" if ranks.first else stack.enter_context(tempfile.TemporaryDirectory())
        experiment.config.experiment_working_directory = str(folder)
        stack.enter_context(_signals_put_back())
        experiment.run()
    if journal.interrupted:
        raise KeyboardInterrupt
    assert journal.sample is not None
    return genotype_from_sample(journal.sample, config.task, config.genotype_scale)


def _ddp(strategy: Strategy) -> DDPStrategy:
    """Lightning's engine for several devices; where one path is taken at a time, the others have no gradient."""
    return DDPStrategy(find_unused_parameters=isinstance(strategy, MendedProxyless | MendedRandomOneShot))


@contextlib.contextmanager
def _signals_put_back() -> Iterator[None]:
    """Takes out the SIGTERM handler that Lightning leaves behind, under which a process outlives the signal."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _apply_budget(strategy: Any, budget: Budget) -> None:
    """Hands the budget to the strategy's module as soon as NNI has it made."""
    make = strategy.configure_oneshot_module

    def make_with_budget(training_module: Any) -> Any:
        module = make(training_module)
        if isinstance(module, AlternatingModule):
            module.penalty = budget.expected_penalty
        elif isinstance(module, ControllerModule):
            module.penalty_of = budget.sample_penalty
        elif isinstance(module, RandomPathModule):
            module.accepts = budget.accepts
            module.score = lambda sample, psnr_db: psnr_db - budget.sample_penalty(sample)
        elif not isinstance(module, SearchModule):
            raise InputError("A strategy named by its path cannot keep a budget; leave search.budget out.")
        return module

    strategy.configure_oneshot_module = make_with_budget


def _check(config: Config, strategy: Strategy, ranks: Ranks) -> None:
    """Says what a strategy cannot do."""
    if ranks.count > 1 and not isinstance(strategy, DifferentiableStrategy | MendedRandomOneShot):
        raise InputError(
            f"A search with '{config.strategy.name}' runs on one device; leave --devices and --num-nodes out, or "
            "search with pc_darts, darts, gumbel_darts, proxyless or random_oneshot."
        )
    if ranks.count > 1 and config.search.budget == "latency":
        raise InputError(
            "Latencies are measured, so every process would have others; search on one device, or with search.budget "
            "multiply_adds."
        )
    if is_one_shot(strategy) and config.search.evaluator == "surrogate":
        raise InputError(
            f"Strategy '{config.strategy.name}' trains a supernet, so there is nothing to ask a surrogate for; search "
            "with random, evolution, tpe, grid or rl."
        )


def check_warmup(config: Config) -> None:
    """Says before a one-shot search whether anything is left of it after the warm-up.

    Raises:
        InputError: If nothing is.
    """
    if config.search.weight_warmup_iters >= config.search.total_iter:
        raise InputError(
            f"All {config.search.total_iter} iterations would be warm-up ({config.search.weight_warmup_iters}), so no "
            "architecture would be learnt; give a smaller --warmup or more --iterations."
        )


def check_validation(config: Config, data: Data, smallest: int) -> None:
    """Says before the search whether its validation images suit every candidate.

    Args:
        config: Settings.
        data: The images.
        smallest: Smallest side in low-quality pixels that all candidates take.

    Raises:
        InputError: If one is smaller.
    """
    scale = data.task.scale
    for index in data.split.validation[: config.val.max_images]:
        side = min(*data.images.hq_shape(index)[:2], config.val.max_side) // scale
        if side < smallest:
            raise InputError(
                f"The validation image '{data.images.names[index]}' is used at {side} low-quality pixels, but a "
                f"candidate takes no side below {smallest}; raise val.max_side, or leave small images out."
            )


def quiet_nni() -> None:
    """NNI and Lightning report every internal step; the journal says what matters."""
    for name in ("nni", "pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
