"""NNI's execution engine for a strategy that runs in the tuner process: models go out as trials."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable
from typing import Any

from nni.nas.execution.engine import ExecutionEngine
from nni.nas.space import SimplifiedModelSpace

from jsnas.errors import InputError
from jsnas.strategy.nni_api import FinalMetricEvent, ModelStatus, TrainingEndEvent
from trainers.budget import Budget, make_budget
from trainers.config_file import load_config
from trainers.experiment.advisor import Trials
from trainers.plugins import use_plugins
from trainers.space import build_space
from trainers.strategies import make_strategy

_MOST_REJECTIONS = 2000


def explore(config_path: str, trials: Trials) -> None:
    """Runs the config's strategy to its end; NNI's manager decides how many trials there are."""
    config = load_config(config_path)
    use_plugins(config)
    strategy = make_strategy(config)
    engine = TrialEngine(trials, make_budget(config))
    strategy(SimplifiedModelSpace.from_model(build_space(config)), engine)
    engine.wait_models()


class TrialEngine(ExecutionEngine):
    """Hands models to ``Trials`` and tells the strategy what became of them.

    Architectures over the budget are turned down at once and are no trials.

    Args:
        trials: Where trials go.
        budget: What networks may cost, or ``None``.
    """

    def __init__(self, trials: Trials, budget: Budget | None) -> None:
        super().__init__()
        self.trials, self.budget = trials, budget
        self._rejections = 0  # since the last trial
        self._models: list[Any] = []
        self._lock = threading.RLock()  # strategies' callbacks expect one event at a time

    def submit_models(self, *models: Any) -> None:
        """Makes each frozen model a trial."""
        for model in models:
            self._models.append(model)
            model.status = ModelStatus.Training
            if self.budget is not None and not self.budget.accepts(model.sample):
                self._reject(model, self.budget)
            else:
                self._rejections = 0
                self.trials.submit(model.sample, functools.partial(self._done, model))

    def list_models(self, status: ModelStatus | None = None) -> Iterable[Any]:
        """The models so far, all or those of a status."""
        return [model for model in self._models if status is None or model.status == status]

    def idle_worker_available(self) -> bool:
        """Whether a model would start at once."""
        return self.trials.has_room()

    def budget_available(self) -> bool:
        """Always: NNI's manager counts, and its limit can be raised on the page."""
        return True

    def shutdown(self) -> None:
        """Nothing to do: the process ends."""

    def _done(self, model: Any, psnr_db: float | None) -> None:
        score = psnr_db
        if score is not None and self.budget is not None:
            score -= self.budget.sample_penalty(model.sample)
        self._tell(model, score)

    def _reject(self, model: Any, budget: Budget) -> None:
        self._rejections += 1
        if self._rejections > _MOST_REJECTIONS:
            raise InputError(
                f"{self._rejections} architectures in a row were over the budget; raise search.budget_target."
            )
        # Below any image's PSNR, and lower the more the budget is exceeded.
        self._tell(model, 1 - budget.predicted(model.sample) / budget.reference)

    def _tell(self, model: Any, score: float | None) -> None:
        with self._lock:
            if score is not None:
                self.dispatch_model_event(FinalMetricEvent(model, score))
            self.dispatch_model_event(
                TrainingEndEvent(model, ModelStatus.Trained if score is not None else ModelStatus.Failed)
            )
