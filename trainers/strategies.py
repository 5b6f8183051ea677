"""The strategies by name, each with its settings from a config, or any NNI strategy by ``package.module:Class``."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jsnas.errors import InputError, unknown_name
from jsnas.strategy import (
    DartsSettings,
    EnasSettings,
    GumbelSettings,
    MendedDARTS,
    MendedENAS,
    MendedEvolution,
    MendedGumbelDARTS,
    MendedProxyless,
    MendedRandomOneShot,
    PartialChannelDARTS,
    PartialChannelSettings,
    RandomOneShotSettings,
)
from jsnas.strategy.alternating import DifferentiableSettings
from jsnas.strategy.nni_api import (
    TPE,
    GridSearch,
    ModelSpace,
    OneShotStrategy,
    PolicyBasedRL,
    Random,
    Strategy,
)
from trainers.catalogue import DIFFERENTIABLE, MULTI_TRIAL, STRATEGIES
from trainers.config import Config
from trainers.config_help import help_lines


@dataclass(frozen=True)
class _OneShot:
    """A one-shot strategy and the dataclass of its settings."""

    make: Callable[[Any], Any]
    settings: type


_ONE_SHOT = {
    "pc_darts": _OneShot(PartialChannelDARTS, PartialChannelSettings),
    "darts": _OneShot(MendedDARTS, DartsSettings),
    "gumbel_darts": _OneShot(MendedGumbelDARTS, GumbelSettings),
    "proxyless": _OneShot(MendedProxyless, DifferentiableSettings),
    "enas": _OneShot(MendedENAS, EnasSettings),
    "random_oneshot": _OneShot(MendedRandomOneShot, RandomOneShotSettings),
}
_MULTI_TRIAL = {
    "random": Random,
    "grid": GridSearch,
    "evolution": MendedEvolution,
    "tpe": TPE,
    "rl": PolicyBasedRL,
}
# Settings of NNI's constructors that a config can hold: a value such as is expected, and what it is.
_SEED = (0, "Seed of the strategy, by default the run's.")
_DEDUP = (True, "Whether no architecture is tried twice.")
_MULTI_TRIAL_SETTINGS: dict[str, dict[str, tuple[Any, str]]] = {
    "random": {"dedup": _DEDUP, "seed": _SEED},
    "grid": {"shuffle": (True, "Whether combinations come in a shuffled order."), "seed": _SEED, "dedup": _DEDUP},
    "evolution": {
        "population_size": (100, "Architectures that are kept, by default a third of the trials and at most 100."),
        "sample_size": (25, "Of those, how many compete to be the parent, by default a third."),
        "mutation_prob": (0.05, "Probability that a choice mutates."),
        "crossover": (False, "Whether there are two parents."),
        "dedup": _DEDUP,
        "seed": _SEED,
    },
    "tpe": {"seed": _SEED, "tpe_args": ({}, "Settings of NNI's TPE tuner by name.")},
    "rl": {
        "samples_per_update": (20, "Trials between two updates of the policy, by default a quarter of all or 20."),
        "replay_buffer_size": (200, "Steps that are remembered."),
        "reward_for_invalid": (0.0, "Reward of a trial that failed."),
        "update_kwargs": ({}, "Settings of tianshou's policy update by name."),
    },
}
_NEEDS_RL = ("enas", "rl")
_ONE_INPUT_ONLY = {  # what each does with NNI's InputChoice of several inputs
    "proxyless": "runs only the first of several inputs",
    "enas": "chooses one thing at a time",
    "rl": "chooses one thing at a time",
}


def make_strategy(config: Config) -> Strategy:
    """The strategy that the config names, seeded with the config's seed.

    Raises:
        InputError: If the name or one of its settings is unknown or wrong, what it needs is not installed, or it
            cannot search the config's space.
    """
    name = config.strategy.name
    if ":" in name:
        return _from_path(name, config.strategy.args)
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
    _check_requirements(config)
    if name in MULTI_TRIAL:
        return _multi_trial(config)
    entry = _ONE_SHOT[name]
    known = {field.name: field.default for field in dataclasses.fields(entry.settings)}
    given = {
        "weight_warmup_iters": config.search.weight_warmup_iters,
        "seed": config.manual_seed,
        "annealing_iters": config.search.total_iter,
        "candidates": config.search.max_trials,
    }
    values = {key: value for key, value in given.items() if key in known} | _checked(name, config.strategy.args, known)
    return entry.make(entry.settings(**values))


def settings_help(name: str) -> list[str]:
    """The settings that a strategy takes under ``strategy.args``, a line each, as dotted options with their defaults.

    Args:
        name: A key of ``STRATEGIES``.
    """
    prefix = "strategy.args."
    if name in _ONE_SHOT:
        return help_lines(_ONE_SHOT[name].settings, prefix)
    settings = _MULTI_TRIAL_SETTINGS[name].items()
    return [f"  --{prefix}{key}  {text} (such as {value})" for key, (value, text) in settings]


def check_space(strategy: Strategy, space: ModelSpace) -> None:
    """Asks a strategy of ours whether it can search a space.

    Raises:
        InputError: If it cannot.
    """
    if hasattr(strategy, "check"):
        strategy.check(space)


def is_one_shot(strategy: Strategy) -> bool:
    """Whether a strategy trains one supernet rather than one network a trial."""
    return isinstance(strategy, OneShotStrategy)


def searches_none(config: Config) -> bool:
    """Whether the strategy can leave ``none`` out of what it derives; others search without that candidate."""
    return config.strategy.name in DIFFERENTIABLE


def _multi_trial(config: Config) -> Strategy:
    name, trials = config.strategy.name, config.search.max_trials
    population = max(2, min(100, trials // 3))
    ours: dict[str, dict[str, Any]] = {
        # NNI's population of 100 would leave a short search without a single mutation.
        "evolution": {"population_size": population, "sample_size": max(1, population // 3)},
        "rl": {"samples_per_update": max(1, min(20, trials // 4))},
        "tpe": {"optimize_mode": "maximize"},
    }
    known = {key: value for key, (value, _) in _MULTI_TRIAL_SETTINGS[name].items()}
    seed = {"seed": config.manual_seed} if "seed" in known else {}
    values = {**seed, **ours.get(name, {}), **_checked(name, config.strategy.args, known)}
    try:
        return _MULTI_TRIAL[name](**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"Strategy '{name}' does not take its settings ({error}); correct strategy.args.") from error


def _from_path(path: str, args: dict[str, Any]) -> Strategy:
    module_name, _, class_name = path.partition(":")
    if not class_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"The strategy '{path}' is no path of a class; write package.module:Class.")
    faulty = {
        "nni.nas.strategy:ENAS": ("does not run on this Lightning", "enas"),
        "nni.nas.strategy:RandomOneShot": ("ends with an arbitrary architecture", "random_oneshot"),
        "nni.nas.strategy:Proxyless": ("ends with a randomly drawn architecture", "proxyless"),
    }
    if path in faulty:
        fault, mended = faulty[path]
        raise InputError(f"NNI's own {class_name} {fault}; use --strategy {mended}, which mends it.")
    try:
        made = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"The strategy '{path}' cannot be imported ({reason}); is its package installed?") from error
    if not (isinstance(made, type) and issubclass(made, Strategy)):
        raise InputError(f"'{path}' is no strategy of NNI; name a class derived from nni.nas.strategy.Strategy.")
    parameters = inspect.signature(made).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in args:
        if name not in parameters and not takes_any:
            raise unknown_name(f"setting of strategy '{path}'", name, parameters)
    try:
        return made(**args)
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(f"Strategy '{path}' cannot be made ({error}); correct strategy.args.") from error


def _check_requirements(config: Config) -> None:
    name, s = config.strategy.name, config.search
    if name in _NEEDS_RL and not all(importlib.util.find_spec(package) for package in ("tianshou", "gym")):
        raise InputError(f"Strategy '{name}' needs tianshou and gym; install them with `pip install jsnas[rl]`.")
    if s.inputs is None or max(s.nodes) - 1 <= s.inputs:
        return
    if name == "tpe":
        raise InputError("Strategy 'tpe' of NNI cannot choose inputs; leave search.inputs out, or use evolution.")
    if s.inputs > 1 and name in _ONE_INPUT_ONLY:
        raise InputError(
            f"Strategy '{name}' of NNI {_ONE_INPUT_ONLY[name]}, and search.inputs is {s.inputs}; use pc_darts, or "
            "leave search.inputs out."
        )


def _checked(strategy: str, args: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The settings, where each is known and has the type of its default."""
    values: dict[str, Any] = {}
    for name, value in args.items():
        if name not in known:
            raise unknown_name(f"setting of strategy '{strategy}'", name, known)
        default = known[name]
        if not _fits(value, default):
            raise InputError(f"'strategy.args.{name}' is {value!r}; a value such as {default!r} was expected.")
        values[name] = tuple(value) if isinstance(default, tuple) else value
    return values


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, (list, tuple)) and len(value) == 2 and all(_fits(v, 0.5) for v in value)
    if default is None:  # an optional number
        return value is None or _fits(value, 0.5)
    if isinstance(default, (int, float)):
        return isinstance(value, (int, float) if isinstance(default, float) else int) and not isinstance(value, bool)
    return isinstance(value, type(default))
