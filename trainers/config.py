"""Settings of a run: frozen dataclasses (``trainers.config_file`` reads them from YAML with dotted overrides).

Key names are BasicSR's where it has them (``manual_seed``, ``datasets``, ``train.total_iter``, ``val.val_freq``,
``logger.print_freq``); lengths are iterations, never epochs. The defaults are the paper's.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from typing import Any

import yaml

from jsnas.errors import InputError, unknown_name
from jsnas.task import Task

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
EVALUATORS = ("train", "surrogate")
GUARDS = ("off", "warn", "stop", "rollback")
BUDGETS = ("parameters", "multiply_adds", "latency")


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network that is trained.

    Attributes:
        modules: Joint search modules; the paper has 5 for super-resolution and 6 otherwise (null).
        channels: Width of the trunk.
        inner_channels: Width of the operation graph.
        fusion_kernels: Kernel pair of the fusion module, or null for no such module.
    """

    modules: int | None = None
    channels: int = 64
    inner_channels: int = 16
    fusion_kernels: tuple[int, int] | None = (3, 3)


@dataclass(frozen=True)
class DatasetsConfig:
    """The packed images and how patches are drawn.

    Attributes:
        path: The H5 file of `jsnas pack`, or a folder of such files, which are one data set in the order of names.
        patch_size: Side of the low-quality patch in pixels.
        batch_size: Patches a batch, of all devices together; N devices take the N-th part of it each, so that a run
            gives the same on any number of them.
        workers: Processes that prepare batches; 0 prepares them in the main process.
        weights: Images (counted from 1, such as 1-800) that the network weights learn on, or auto.
        architecture: Images that the architecture parameters learn on, or auto.
        validation: Images held out for the validation PSNR, or auto.
        augment: Whether patches are flipped and rotated.
    """

    path: str | None = None
    patch_size: int = 64
    batch_size: int = 16
    workers: int = 2
    weights: str = "auto"
    architecture: str = "auto"
    validation: str = "auto"
    augment: bool = True


@dataclass(frozen=True)
class StrategyConfig:
    """The search strategy.

    Attributes:
        name: Name of the strategy; `jsnas list strategies` shows them.
        args: Its own settings by name, each also as --strategy.args.NAME; `jsnas list strategies` shows them.
    """

    name: str = "pc_darts"
    args: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "." in self.name and ":" not in self.name:  # package.module.Class means package.module:Class
            object.__setattr__(self, "name", ":".join(self.name.rsplit(".", 1)))


@dataclass(frozen=True)
class SearchConfig:
    """The search (paper, Sec. 4.1.2).

    Attributes:
        space: Name of the search space, joint, operation or attention.
        modules: Joint search modules of the supernet.
        channels: Width of its trunk.
        inner_channels: Width of its operation graph.
        operation_nodes: Nodes of the operation graph, the input included.
        attention_nodes: Nodes of the attention graph, the input included.
        operations: Candidate operations, or null for all.
        attentions: Candidate attentions, or null for the paper's of the task.
        inputs: Inputs that a node keeps, or null for all.
        total_iter: Iterations, the warm-up included.
        weight_warmup_iters: Iterations on the weights alone at the start.
        learning_rate: Adam's step for the weights.
        betas: Adam's decay rates for the weights.
        weight_decay: Adam's weight decay for the weights.
        max_trials: Networks that a multi-trial strategy trains, or that random_oneshot compares at the end.
        trial_iter: Iterations of each trial of a multi-trial strategy.
        evaluator: How a multi-trial strategy learns what an architecture is worth, train (train it) or surrogate (ask a
            model fitted on a table of trainings).
        bench: That table (`jsnas bench`), a folder, .csv or .parquet file, or null.
        guard: What to do when skips fill what a one-shot search derives, off, warn, stop or rollback.
        guard_skip_share: Share of skips among the edges derived for a part above which that is so.
        guard_skip_weight: Mean weight of skip on those edges above which it is so too; both must be exceeded.
        budget: What networks shall cost little of, parameters, multiply_adds or latency, or null.
        budget_target: Cost not to exceed, in parameters, multiply-adds or seconds, or null to weigh all cost.
        budget_weight: How much a cost of once the target (or the space's mean) weighs, in units of the loss (one-shot)
            or in dB.
        budget_size: Height and width of the restored image that multiply-adds and latency are for.
    """

    space: str = "joint"
    modules: int = 4
    channels: int = 64
    inner_channels: int = 16
    operation_nodes: int = 4
    attention_nodes: int = 4
    operations: list[str] | None = None
    attentions: list[str] | None = None
    inputs: int | None = None
    total_iter: int = 400_000
    weight_warmup_iters: int = 20_000
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    max_trials: int = 20
    trial_iter: int = 1_000
    evaluator: str = "train"
    bench: str | None = None
    guard: str = "warn"
    guard_skip_share: float = 0.8
    guard_skip_weight: float = 0.4
    budget: str | None = None
    budget_target: float | None = None
    budget_weight: float = 1.0
    budget_size: tuple[int, int] = (720, 1280)

    @property
    def nodes(self) -> tuple[int, int]:
        """Nodes of the operation and of the attention graph, inputs included; 0 for the part that the space lacks."""
        return (
            0 if self.space == "attention" else self.operation_nodes,
            0 if self.space == "operation" else self.attention_nodes,
        )


@dataclass(frozen=True)
class TrainConfig:
    """Training of the derived network (paper, Sec. 4.1.3).

    Attributes:
        genotype: A genotype file, a shipped genotype's name, or the folder of a search.
        inherit: Folder of a search whose supernet's weights the network starts from where shapes allow, or null for
            fresh weights; without a genotype, its genotype is trained.
        total_iter: Iterations.
        learning_rate: Adam's step at the start.
        betas: Adam's decay rates.
        eps: Adam's epsilon.
        halve_every: Iterations after which the step is halved, each time.
        ema_decay: Decay of the moving average of the weights that is validated and kept; 0 for none.
    """

    genotype: str | None = None
    inherit: str | None = None
    total_iter: int = 1_000_000
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    halve_every: int = 200_000
    ema_decay: float = 0.0


@dataclass(frozen=True)
class ExperimentConfig:
    """Trials under NNI's web page (`jsnas experiment`).

    Attributes:
        max_trials: Trials in all; null for search.max_trials, or for as many as a sweep has combinations.
        concurrency: Trials at the same time; several GPUs are shared out among them.
        port: Port of the page on this machine; 0 for any free one.
        sweep: For one-shot strategies, a list of values for each dotted setting, such as manual_seed or
            strategy.args.partial, or a range as NNI writes it.
        tuner: What picks the values of a sweep, grid, random, tpe, anneal or evolution.
        training_service: YAML file of NNI's section training_service, for trials on other machines, or null for this
            one (docs/many-machines.md).
        retrain: Whether a one-shot trial ends by training what it found for search.trial_iter iterations and reports
            the PSNR of that, rather than the one of the supernet.
    """

    max_trials: int | None = None
    concurrency: int = 1
    port: int = 8080
    sweep: dict[str, Any] = field(default_factory=dict)
    tuner: str = "grid"
    training_service: str | None = None
    retrain: bool = False


@dataclass(frozen=True)
class TournamentConfig:
    """Strategies and networks compared with luck (`jsnas tournament`).

    Every search takes search.total_iter iterations; what it found is trained for search.trial_iter iterations at the
    search's size (the proxy) and for train.total_iter at the network's.

    Attributes:
        contestants: Strategies, `luck` (a random architecture, not chosen), genotypes (a file, or a shipped name),
            `singles` (each candidate everywhere), and table-2 to table-5 (the rows of the paper's ablations).
        seeds: Searches of each, or trainings where nothing is searched.
        reference: The contestant that the others are compared with.
        test: Images (counted from 1) that the longer training is scored on, or auto for datasets.validation.
        bench: Folder of the table of trainings, or null for one in the run folder.
    """

    contestants: list[str] = field(
        default_factory=lambda: ["random", "pc_darts", "darts", "evolution", "luck", "jsnet-sr", "singles"]
    )
    seeds: int = 5
    reference: str = "random"
    test: str = "auto"
    bench: str | None = None


@dataclass(frozen=True)
class ValConfig:
    """Validation on held-out images.

    Attributes:
        val_freq: Iterations between validations; 0 for none but the last.
        max_images: At most so many validation images are used.
        max_side: Larger images are cropped to this many high-quality pixels a side, around the centre.
    """

    val_freq: int = 5_000
    max_images: int = 10
    max_side: int = 512


@dataclass(frozen=True)
class LoggerConfig:
    """What is written down while a run goes on.

    Attributes:
        print_freq: Iterations between two lines of metrics.jsonl.
        save_checkpoint_freq: Iterations between two resumable states.
        tensorboard: Whether TensorBoard logs are written too.
    """

    print_freq: int = 100
    save_checkpoint_freq: int = 5_000
    tensorboard: bool = True


@dataclass(frozen=True)
class Config:
    """A run.

    Attributes:
        task: Restoration task, sr, denoise or deblock.
        scale: 2, 3 or 4 for super-resolution, else 1.
        sigma: Noise level on the 0-255 scale, denoise only.
        quality: JPEG quality, deblock only.
        manual_seed: Seed of everything random.
        device: Where to run, auto, cpu, cuda or cuda:1.
        devices: Devices a machine that `jsnas search` and `jsnas train` share each batch out among, a process each.
        num_nodes: Machines that do so.
        precision: Arithmetic, 32-true, bf16-mixed or 16-mixed.
        plugins: Candidate blocks that a genotype may name, as package.module:Class or installed entry points.
        network: The network that is trained.
        datasets: The images.
        strategy: The search strategy.
        search: The search.
        train: The training.
        experiment: The experiment under NNI's web page.
        tournament: The comparison with luck.
        val: Validation.
        logger: Logs and states.
    """

    task: str = "sr"
    scale: int = 1
    sigma: float | None = None
    quality: int | None = None
    manual_seed: int = 0
    device: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    precision: str = "32-true"
    plugins: list[str] = field(default_factory=list)
    network: NetworkConfig = NetworkConfig()
    datasets: DatasetsConfig = DatasetsConfig()
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig()
    experiment: ExperimentConfig = field(default_factory=ExperimentConfig)
    tournament: TournamentConfig = field(default_factory=TournamentConfig)
    val: ValConfig = ValConfig()
    logger: LoggerConfig = LoggerConfig()

    def __post_init__(self) -> None:
        _check_given("", self)
        self.to_task()
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.manual_seed < 0:
            raise InputError(f"The seed is {self.manual_seed}; give 0 or more.")
        for name in ("devices", "num_nodes"):
            if getattr(self, name) < 1:
                raise InputError(f"'{name}' is {getattr(self, name)}; give 1 or more.")
        for section, names in _POSITIVE.items():
            for name in names:
                if not 0 < (value := getattr(getattr(self, section), name)) < math.inf:  # NaN too
                    raise InputError(f"'{section}.{name}' is {value}; give a number above 0.")
        for section, names in _NOT_NEGATIVE.items():
            for name in names:
                if not 0 <= (value := getattr(getattr(self, section), name)) < math.inf:
                    raise InputError(f"'{section}.{name}' is {value}; give 0 or more.")
        for name in ("operations", "attentions"):
            if getattr(self.search, name) == []:
                raise InputError(f"'search.{name}' names no candidate; name some, or leave it out for the usual ones.")
        if self.search.guard not in GUARDS:
            raise unknown_name("guard", self.search.guard, GUARDS)
        if self.search.evaluator not in EVALUATORS:
            raise unknown_name("evaluator", self.search.evaluator, EVALUATORS)
        if (self.search.evaluator == "surrogate") != (self.search.bench is not None):
            raise InputError("A surrogate is fitted on a table; give both search.evaluator surrogate and search.bench.")
        for name in ("guard_skip_share", "guard_skip_weight"):
            if not 0 <= (share := getattr(self.search, name)) <= 1:
                raise InputError(f"'search.{name}' is {share}; give a share from 0 to 1.")
        if self.search.budget is not None and self.search.budget not in BUDGETS:
            raise unknown_name("budget", self.search.budget, BUDGETS)
        if self.search.budget_target is not None and not self.search.budget_target > 0:
            raise InputError(f"'search.budget_target' is {self.search.budget_target}; give a number above 0.")
        if self.search.budget is None and self.search.budget_target is not None:
            raise InputError(
                f"'search.budget_target' needs to know of what; set search.budget to {', '.join(BUDGETS)}."
            )
        if min(self.search.budget_size) < 1:
            raise InputError(f"'search.budget_size' is {self.search.budget_size}; give a height and width in pixels.")
        for name, betas in (("search.betas", self.search.betas), ("train.betas", self.train.betas)):
            if not all(0 <= beta < 1 for beta in betas):
                raise InputError(
                    f"'{name}' is {list(betas)}; give two numbers from 0 to below 1, such as [0.9, 0.999]."
                )
        if not 0 <= self.train.ema_decay < 1:
            raise InputError(
                f"'train.ema_decay' is {self.train.ema_decay}; give 0 for none, or below 1, such as 0.999."
            )

    @property
    def genotype_scale(self) -> int | None:
        """The scale of a genotype that is found; ``None`` where the task has none."""
        return self.scale if self.task == "sr" else None

    def to_task(self) -> Task:
        """The task with its level."""
        return Task(self.task, self.scale, self.sigma, self.quality)

    def to_yaml(self) -> str:
        """The resolved settings; reading them back gives an equal config."""
        return yaml.safe_dump(_plain(dataclasses.asdict(self)), sort_keys=False)


def _check_given(prefix: str, section: Any) -> None:
    """Raises an InputError where a setting is null that must have a value."""
    for name, kind in typing.get_type_hints(type(section)).items():
        value = getattr(section, name)
        if value is None and type(None) not in typing.get_args(kind):
            raise InputError(f"'{prefix}{name}' is null; give a value, or leave it out for its default.")
        if dataclasses.is_dataclass(value):
            _check_given(f"{prefix}{name}.", value)


_POSITIVE = {
    "datasets": ("patch_size", "batch_size"),
    "search": ("total_iter", "learning_rate", "max_trials", "trial_iter"),
    "train": ("total_iter", "learning_rate", "halve_every", "eps"),
    "experiment": ("concurrency",),
    "tournament": ("seeds",),
    "val": ("max_images", "max_side"),
    "logger": ("print_freq", "save_checkpoint_freq"),
}
_NOT_NEGATIVE = {
    "datasets": ("workers",),
    "search": ("weight_warmup_iters", "weight_decay", "budget_weight"),
    "val": ("val_freq",),
}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
