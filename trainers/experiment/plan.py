"""From a config to NNI's experiment config, with every mistake found before anything starts."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsnas.errors import InputError, unknown_name
from trainers.config import Config
from trainers.config_file import load_config
from trainers.experiment.service import load_service, nni_service
from trainers.experiment.words import choice_in_words, label_in_words

# NNI's own names, and what each takes besides its defaults ("optimize_mode" is "maximize": a PSNR).
TUNERS = {"grid": "GridSearch", "random": "Random", "tpe": "TPE", "anneal": "Anneal", "evolution": "Evolution"}
RANGES = ("choice", "randint", "uniform", "quniform", "loguniform", "qloguniform", "normal", "lognormal")
NETWORK, SEARCH, ENTRY = "network", "search", "entry"


@dataclass(frozen=True)
class Plan:
    """What an experiment runs.

    Attributes:
        kind: ``"network"``: trials train one network each; ``"search"``: trials are whole one-shot searches;
            ``"entry"``: trials are a tournament's entries.
        max_trials: Trials in all.
        search_space: What trials differ in, as NNI writes it.
        tuner: What picks the next trial, as NNI writes it.
    """

    kind: str
    max_trials: int
    search_space: dict[str, Any]
    tuner: dict[str, Any]


def make_plan(config: Config, folder: Path) -> Plan:
    """Looks at everything that trials will need.

    Args:
        config: Settings.
        folder: The run folder, where the trials find ``config.yaml``.

    Raises:
        InputError: If the data, the strategy, a candidate, the device or the sweep cannot be used.
    """
    from trainers.strategies import is_one_shot
    from trainers.streams import open_data, patch_stream

    e = config.experiment
    if e.max_trials is not None and e.max_trials < 1:
        raise InputError(f"The experiment was given {e.max_trials} trials; give 1 or more with --max-trials.")
    if e.tuner not in TUNERS:
        raise unknown_name("tuner", e.tuner, TUNERS)
    if config.devices * config.num_nodes > 1:
        raise InputError(
            "The trials of an experiment take one device each; leave --devices and --num-nodes out, and run several at "
            "a time with experiment.concurrency."
        )
    load_service(e.training_service)
    data = open_data(config)
    patch_stream(data, config, "weights")
    strategy, space = _checked(config)
    if is_one_shot(strategy):
        patch_stream(data, config, "architecture")
    else:
        if e.sweep:
            raise InputError(
                f"Strategy '{config.strategy.name}' trains one network a trial, so there is nothing to sweep; leave "
                "experiment.sweep out, or choose a one-shot strategy such as pc_darts."
            )
        shown = {label_in_words(label): _choices(mutable) for label, mutable in space.simplify().items()}
        advisor = {
            "className": "trainers.experiment.advisor.StrategyAdvisor",
            "codeDirectory": str(_package_folder()),
            "classArgs": {"config": str(folder.resolve() / "config.yaml")},
        }
        return Plan(NETWORK, e.max_trials or config.search.max_trials, shown, advisor)
    sweep = e.sweep or {"manual_seed": [config.manual_seed + k for k in range(e.max_trials or 1)]}
    swept = {key: _swept(config, key, values) for key, values in sweep.items()}
    combinations = _combinations(swept)
    if combinations is None and e.max_trials is None:
        raise InputError("The sweep has ranges, so it has no end; say how many trials it takes with --max-trials.")
    asked = e.max_trials or combinations or 1
    trials = min(asked, combinations) if combinations and e.tuner == "grid" else asked
    return Plan(SEARCH, trials, swept, _tuner(config))


def _checked(config: Config) -> tuple[Any, Any]:
    """Strategy and space of a config, made and looked at as a search does before it starts."""
    from trainers.budget import make_budget
    from trainers.plugins import use_plugins
    from trainers.space import build_space
    from trainers.strategies import check_space, make_strategy
    from trainers.streams import pick_device

    use_plugins(config)
    pick_device(config.device)
    strategy, space = make_strategy(config), build_space(config)
    check_space(strategy, space)
    make_budget(config)
    return strategy, space


def nni_config(plan: Plan, config: Config, folder: Path) -> dict[str, Any]:
    """NNI's experiment config for a plan, checked by NNI.

    Args:
        plan: What to run.
        config: Settings.
        folder: The run folder.

    Raises:
        InputError: If the training service cannot be read, or NNI does not accept it.
    """
    from nni.experiment.config import AlgorithmConfig, CustomAlgorithmConfig, ExperimentConfig

    root, service = folder.resolve(), load_service(config.experiment.training_service)
    command, code = service.trial_command(root, plan.kind), service.code_folder(root)
    result = ExperimentConfig("local")
    result.training_service = nni_service(service, command, code)
    result.experiment_name = f"{config.to_task().label} {config.strategy.name}"
    result.experiment_working_directory = str(root / "nni")
    result.trial_command = command
    result.trial_code_directory = str(code)
    result.trial_concurrency = config.experiment.concurrency
    result.max_trial_number = plan.max_trials
    result.search_space = plan.search_space
    if "name" in plan.tuner:
        result.tuner = AlgorithmConfig(name=plan.tuner["name"], class_args=plan.tuner["classArgs"])
    else:
        result.tuner = CustomAlgorithmConfig(
            class_name=plan.tuner["className"],
            code_directory=plan.tuner["codeDirectory"],
            class_args=plan.tuner["classArgs"],
        )
    try:
        content: dict[str, Any] = result.json()
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or "a value is out of its range"
        raise InputError(f"NNI does not accept the experiment's config: {reason}.") from error
    return content


def _choices(mutable: Any) -> dict[str, Any]:
    return {"_type": "choice", "_value": [choice_in_words(value) for value in mutable.grid(granularity=1)]}


def _package_folder() -> Path:
    return Path(__file__).resolve().parents[2]


def _swept(config: Config, key: str, values: Any) -> dict[str, Any]:
    """One key of a sweep as NNI writes it, each value tried out on the config."""
    from trainers.strategies import is_one_shot

    if isinstance(values, Mapping):
        if (
            set(values) != {"_type", "_value"}
            or values["_type"] not in RANGES
            or not isinstance(values["_value"], list)
        ):
            raise InputError(
                f"'experiment.sweep.{key}' is {dict(values)!r}; give a list of values, or a range such as "
                "{_type: loguniform, _value: [0.0001, 0.01]}."
            )
        space = {"_type": str(values["_type"]), "_value": list(values["_value"])}
    elif isinstance(values, list):
        space = {"_type": "choice", "_value": values}
    else:
        raise InputError(f"'experiment.sweep.{key}' is {values!r}; give a list of values, such as [1, 2].")
    if not space["_value"]:
        raise InputError(f"'experiment.sweep.{key}' has no values; give a list of values, such as [1, 2].")
    # Of a range, the ends; NNI gives a normal distribution by mean and deviation, which are no values.
    tried = space["_value"] if space["_type"] == "choice" else space["_value"][:2]
    for value in [] if "normal" in space["_type"] else tried:
        strategy, _ = _checked(with_settings(config, {key: value}))
        if not is_one_shot(strategy):
            raise InputError(
                f"A sweep compares one-shot searches, but '{value}' trains one network a trial; leave it out."
            )
    return space


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """A config with dotted settings changed.

    Raises:
        InputError: If a setting is unknown, out of its range, or one that trials cannot differ in.
    """
    for key in settings:
        if key.partition(".")[0] == "experiment":
            raise InputError(f"A sweep cannot change '{key}', which belongs to the whole experiment; leave it out.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config.to_yaml(), encoding="utf-8")
        words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
        return load_config(path, [f"--{key}={word}" for key, word in words.items()])


def _combinations(swept: Mapping[str, dict[str, Any]]) -> int | None:
    if any(space["_type"] != "choice" for space in swept.values()):
        return None
    return math.prod(len(space["_value"]) for space in swept.values())


def _tuner(config: Config) -> dict[str, Any]:
    name = config.experiment.tuner
    args: dict[str, Any] = {}
    if name in ("tpe", "anneal", "evolution"):
        args["optimize_mode"] = "maximize"
    if name in ("tpe", "random"):
        args["seed"] = config.manual_seed
    return {"name": TUNERS[name], "classArgs": args}


def resolved(config: Config) -> Config:
    """The config as trials need it: paths that hold in any folder, and one number of trials.

    A strategy may plan by ``search.max_trials``, so the experiment's number goes there.
    """
    if config.datasets.path is not None:
        path = str(Path(config.datasets.path).resolve())
        config = dataclasses.replace(config, datasets=dataclasses.replace(config.datasets, path=path))
    if config.experiment.training_service is not None:
        path = str(Path(config.experiment.training_service).resolve())
        config = dataclasses.replace(config, experiment=dataclasses.replace(config.experiment, training_service=path))
    if config.experiment.max_trials is not None:
        trials = config.experiment.max_trials
        config = dataclasses.replace(config, search=dataclasses.replace(config.search, max_trials=trials))
    return config
