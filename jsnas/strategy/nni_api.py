"""The one door to NNI's one-shot code: every name we build on, imported without its start-up noise.

NNI 3.0 wraps all of ``torch.nn`` when imported and warns of two newer classes there that are no modules. Where gym is
installed (the extra ``rl``) NNI imports it, and gym prints that it is no longer maintained.
"""

from __future__ import annotations

import contextlib
import io
import warnings

with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.evaluator.pytorch import Lightning, LightningModule, Trainer
    from nni.nas.execution import SequentialExecutionEngine
    from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
    from nni.nas.experiment import NasExperiment, NasExperimentConfig
    from nni.nas.nn.pytorch import InputChoice, LayerChoice, ModelSpace
    from nni.nas.nn.pytorch.choice import ChosenInputs
    from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
    from nni.nas.oneshot.pytorch.sampling import EnasLightningModule, RandomSamplingLightningModule
    from nni.nas.oneshot.pytorch.strategy import OneShotStrategy
    from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
    from nni.nas.oneshot.pytorch.supermodule.differentiable import (
        DifferentiableMixedInput,
        DifferentiableMixedLayer,
        GumbelSoftmax,
    )
    from nni.nas.oneshot.pytorch.supermodule.proxyless import ProxylessMixedLayer
    from nni.nas.space import ModelStatus
    from nni.nas.strategy import (
        DARTS,
        ENAS,
        TPE,
        GridSearch,
        GumbelDARTS,
        PolicyBasedRL,
        Proxyless,
        Random,
        RandomOneShot,
        RegularizedEvolution,
    )
    from nni.nas.strategy.base import Strategy

__all__ = [
    "DARTS",
    "ENAS",
    "TPE",
    "BaseSuperNetModule",
    "ChosenInputs",
    "DartsLightningModule",
    "DifferentiableMixedInput",
    "DifferentiableMixedLayer",
    "EnasLightningModule",
    "FinalMetricEvent",
    "FunctionalEvaluator",
    "GridSearch",
    "GumbelDARTS",
    "GumbelSoftmax",
    "InputChoice",
    "LayerChoice",
    "Lightning",
    "LightningModule",
    "ModelSpace",
    "ModelStatus",
    "NasExperiment",
    "NasExperimentConfig",
    "OneShotStrategy",
    "PolicyBasedRL",
    "Proxyless",
    "ProxylessMixedLayer",
    "Random",
    "RandomOneShot",
    "RandomSamplingLightningModule",
    "RegularizedEvolution",
    "SequentialExecutionEngine",
    "Strategy",
    "Trainer",
    "TrainingEndEvent",
]
