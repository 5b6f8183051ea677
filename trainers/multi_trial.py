"""A multi-trial search in this process: NNI's strategy proposes architectures, each is trained and validated.

The strategies are seeded and a trial's result depends on nothing but its genotype, so a search that was stopped
is carried on by replaying the trials whose results are in the run folder.
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nni

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.sample import genotype_from_sample
from jsnas.strategy.nni_api import (
    FinalMetricEvent,
    FunctionalEvaluator,
    ModelSpace,
    ModelStatus,
    NasExperiment,
    NasExperimentConfig,
    SequentialExecutionEngine,
    Strategy,
    TrainingEndEvent,
)
from trainers.budget import Budget
from trainers.config import Config
from trainers.progress import Progress
from trainers.run_folder import RunFolder
from trainers.surrogate_trials import surrogate_trials
from trainers.trial import TrialResult, run_trial

_FAILED_PSNR_DB = 0.0  # what a strategy is told of a trial that failed: worse than any image
_REJECTED = -1.0  # and of an architecture that exceeds the budget by 100%
_MOST_REJECTIONS = 200  # for each trial, before the search gives up


class Trials:
    """Trains the architectures of a search, each once, and keeps the best.

    Args:
        config: Settings.
        run: The run folder; trials go into ``trials/``.
        budget: What they may cost, or ``None``.
        predict: What gives a result without training, or ``None``.
    """

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        budget: Budget | None,
        predict: Callable[[Genotype], TrialResult] | None = None,
    ) -> None:
        self.config, self.run, self.budget, self.predict = config, run, budget, predict
        self.best: tuple[float, Genotype] | None = None
        self.done = 0
        self._results: dict[Genotype, TrialResult | str] = {}
        self._progress = Progress("search", config.search.max_trials, "trials")

    def score(self, sample: dict[str, Any]) -> float:
        """PSNR in dB of an architecture, less its penalty where there is a budget."""
        self.done += 1
        config = self.config
        genotype = genotype_from_sample(sample, config.task, config.genotype_scale)
        if genotype not in self._results:
            self._results[genotype] = self._trial(genotype, self.run.path / "trials" / f"{self.done:04d}")
        result = self._results[genotype]
        metrics: dict[str, float | str] = {"phase": "trial", "genotype": " ".join(genotype.names)}
        score = _FAILED_PSNR_DB
        if isinstance(result, str):
            metrics["failed"] = result
        else:
            score = result.psnr_db - (0.0 if self.budget is None else self.budget.sample_penalty(sample))
            metrics |= {"psnr_db": result.psnr_db, "parameters": float(result.parameters)}
            metrics |= {"multiply_adds": float(result.multiply_adds), "score": score}
            if self.best is None or score > self.best[0]:
                self.best = score, genotype
        self.run.log(self.done, metrics)
        self._progress.update(self.done, {"best_score": self.best[0]} if self.best else {})
        return score

    def result(self) -> Genotype:
        """The best architecture.

        Raises:
            InputError: If every trial failed.
        """
        if self.best is None:
            reasons = [result for result in self._results.values() if isinstance(result, str)]
            raise InputError(reasons[-1] if reasons else "The strategy proposed no architecture; is the space empty?")
        return self.best[1]

    def _trial(self, genotype: Genotype, out: Path) -> TrialResult | str:
        """Runs a trial, or takes its result from a run that is carried on; the reason where it failed."""
        if self.predict is not None:
            return self.predict(genotype)
        try:
            kept = json.loads((out / "trial.json").read_text(encoding="utf-8"))
            if Genotype.load(out / "genotype.json") == genotype:
                return TrialResult(**kept)
        except (OSError, ValueError, TypeError):
            pass
        if out.exists():  # cut short
            shutil.rmtree(out)
        try:
            return run_trial(self.config, genotype, out)
        except InputError as error:
            if not (out / "config.yaml").exists():  # nothing to do with this architecture
                raise
            warnings.warn(f"Trial {self.done} failed: {error}", stacklevel=2)
            return str(error)


class BudgetEngine(SequentialExecutionEngine):
    """NNI's sequential engine; architectures over the budget are turned down at once and do not count as trials."""

    def __init__(self, trials: int, budget: Budget | None) -> None:
        super().__init__(max_model_count=trials)
        self.budget = budget
        self._rejections = 0

    def submit_models(self, *models: Any) -> None:
        """Runs models one after the other."""
        for model in models:
            if self.budget is None or self.budget.accepts(model.sample):
                super().submit_models(model)
            else:
                self._reject(model, self.budget)

    def _reject(self, model: Any, budget: Budget) -> None:
        self._rejections += 1
        assert self.max_model_count is not None
        if self._rejections > _MOST_REJECTIONS * self.max_model_count:
            raise InputError(f"{self._rejections} architectures were over the budget; raise search.budget_target.")
        model.status = ModelStatus.Training
        excess = budget.predicted(model.sample) / budget.reference - 1
        self.dispatch_model_event(FinalMetricEvent(model, _REJECTED * excess))
        self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))


class _Experiment(NasExperiment):
    """NNI's experiment with our engine."""

    def __init__(self, space: ModelSpace, evaluator: Any, strategy: Strategy, engine: BudgetEngine) -> None:
        super().__init__(space, evaluator, strategy, NasExperimentConfig("sequential", "simplified", "local"))
        self._our_engine = engine

    def execution_engine_factory(self, config: Any) -> BudgetEngine:
        """The engine; NNI calls this."""
        return self._our_engine


class _Evaluator(FunctionalEvaluator):
    """Scores a sample; the network that NNI would make for it is not wanted."""

    def __init__(self, function: Callable[[dict[str, Any]], float]) -> None:
        super().__init__(function)

    def _execute(self, model: Any) -> float:
        score: float = self.function(model.sample)
        nni.report_final_result(score)
        return score


def multi_trial_search(
    config: Config, run: RunFolder, strategy: Strategy, space: ModelSpace, budget: Budget | None
) -> Genotype:
    """Lets a strategy explore a space by ``search.max_trials`` trials.

    Args:
        config: Settings.
        run: The run folder.
        strategy: NNI's strategy.
        space: What it explores.
        budget: What networks may cost, or ``None``.

    Returns:
        The best genotype.

    Raises:
        InputError: If no trial succeeded, or next to no architecture is within the budget.
    """
    predict = surrogate_trials(config) if config.search.evaluator == "surrogate" else None
    trials = Trials(config, run, budget, predict)
    run.rewind(0)
    experiment = _Experiment(space, _Evaluator(trials.score), strategy, BudgetEngine(config.search.max_trials, budget))
    experiment.config.experiment_working_directory = str(run.path / "nni")
    if not experiment.run():  # NNI ends quietly on Ctrl-C
        raise KeyboardInterrupt
    if trials.best is not None and not math.isfinite(trials.best[0]):
        raise InputError("No trial ended with a finite PSNR; lower train.learning_rate.")
    return trials.result()
