"""What a run folder holds, whatever kind of run it is: a search, a training, or a demo with one of each inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.report.crops import FOLDER, SCORES
from jsnas.report.run_files import RunFiles, get
from jsnas.report.run_metrics import Metrics

_SIGNS = ("config.yaml", "run.json", "metrics.jsonl", "genotype.json", "checkpoint.safetensors", "summary.json")
SEARCH, TRAIN, DEMO = "search", "train", "demo"


@dataclass(frozen=True)
class Part:
    """One search or one training of a run.

    Attributes:
        prefix: Its folder inside the run's, such as ``"search/"``; empty where it is the run itself.
        config: ``config.yaml``.
        record: ``run.json``.
        metrics: ``metrics.jsonl``.
        genotype: ``genotype.json``.
        checkpoint: Metadata of ``checkpoint.safetensors``.
    """

    prefix: str
    config: dict[str, Any] | None
    record: dict[str, Any] | None
    metrics: Metrics | None
    genotype: Genotype | None
    checkpoint: dict[str, Any] | None


@dataclass(frozen=True)
class RunData:
    """Everything that the page is made from.

    Attributes:
        files: Access to the run's files.
        kind: ``"search"``, ``"train"`` or ``"demo"``.
        own: The files of the run itself, of whatever kind.
        search, train: Its parts.
        summary: ``summary.json`` of a demo.
        scores: ``restored/scores.json`` of a training.
        evaluation: ``evaluation.json``, if ``jsnas evaluate --json`` wrote one here.
    """

    files: RunFiles
    kind: str
    own: Part
    search: Part | None
    train: Part | None
    summary: dict[str, Any] | None
    scores: dict[str, Any] | None
    evaluation: dict[str, Any] | None

    @property
    def config(self) -> dict[str, Any] | None:
        """``config.yaml`` of the run itself."""
        return self.own.config

    @property
    def record(self) -> dict[str, Any] | None:
        """``run.json`` of the run itself."""
        return self.own.record

    @property
    def genotype(self) -> Genotype | None:
        """What was searched or trained."""
        parts = (self.search, self.train, self.own)
        return next((part.genotype for part in parts if part is not None and part.genotype is not None), None)

    @property
    def checkpoint(self) -> dict[str, Any] | None:
        """Metadata of the trained network's checkpoint."""
        return self.train.checkpoint if self.train is not None else None

    @property
    def task_name(self) -> str | None:
        """``"sr"``, ``"denoise"`` or ``"deblock"``, as the settings say."""
        name = get(self.config, "task")
        if isinstance(name, str):
            return name
        genotype = self.genotype
        return genotype.task if genotype is not None else None


def read_run(folder: Path) -> RunData:
    """Reads a run folder; damaged files are as good as missing.

    Raises:
        InputError: If the folder is missing or holds no run.
    """
    if not folder.is_dir():
        raise InputError(f"There is no run folder '{folder}'; give the --out folder of a search, training or demo.")
    if not any((folder / sign).is_file() for sign in _SIGNS):
        raise InputError(f"'{folder}' holds no run; give the --out folder of a search, training or demo.")
    files = RunFiles(folder)
    own = _part(files, "")
    kind = _kind(folder, own)
    search, train = (own if kind == name else None for name in (SEARCH, TRAIN))
    if kind == DEMO:
        search, train = (_part(files, f"{name}/") if (folder / name).is_dir() else None for name in (SEARCH, TRAIN))
    summary, scores, evaluation = map(files.json, ("summary.json", f"{FOLDER}/{SCORES}", "evaluation.json"))
    return RunData(files, kind, own, search, train, summary, scores, evaluation)


def _part(files: RunFiles, prefix: str) -> Part:
    lines = files.lines(f"{prefix}metrics.jsonl")
    return Part(
        prefix,
        files.yaml(f"{prefix}config.yaml"),
        files.json(f"{prefix}run.json"),
        Metrics(lines) if lines is not None else None,
        files.genotype(f"{prefix}genotype.json"),
        files.checkpoint(f"{prefix}checkpoint.safetensors"),
    )


def _kind(folder: Path, own: Part) -> str:
    """As ``run.json`` says, else as the files look."""
    said = get(own.record, "kind")
    if said in (SEARCH, TRAIN, DEMO):
        return str(said)
    if (folder / SEARCH).is_dir() or (folder / TRAIN).is_dir() or (folder / "summary.json").is_file():
        return DEMO
    if own.metrics is not None and len(own.metrics):
        return SEARCH if own.metrics.of_search else TRAIN
    return TRAIN if own.checkpoint is not None or get(own.config, "train", "genotype") else SEARCH
