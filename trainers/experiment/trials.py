"""The trials of an experiment: what NNI says of them, what they left, and which is best."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jsnas.genotype import Genotype

_ERROR = re.compile(r"(?:jsnas: |\S*python[\d.]*: )?((?<=jsnas: ).+|[\w.]*(?:Error|Exception|Interrupt)\b.*)")
_ENDED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")


def trial_folder_name(number: int, trial_id: str) -> str:
    """Where in ``trials/`` a trial keeps its files: NNI's number and name of it."""
    return f"{number:04d}-{trial_id}"


class TrialTable:
    """Collects trials as they end.

    Args:
        folder: Where each trial has its run folder.
        penalty: What is taken from a genotype's PSNR in dB when trials are ranked, by default nothing.
        errors: What a trial wrote to its standard error, by its name, for trials that ran elsewhere.
    """

    def __init__(
        self,
        folder: Path,
        penalty: Callable[[Genotype], float] | None = None,
        errors: Callable[[str], str] | None = None,
    ) -> None:
        self.folder, self.penalty, self.errors = folder, penalty, errors
        self._trials: dict[str, dict[str, Any]] = {}

    def update(self, jobs: Iterable[Mapping[str, Any]]) -> list[str]:
        """Takes in NNI's list of trials.

        Returns:
            A line about each that ended since the last call.
        """
        lines = []
        for job in jobs:
            if job["status"] not in _ENDED or job.get("trialJobId", job.get("id")) in self._trials:
                continue
            trial = self._trial(job)
            self._trials[trial["id"]] = trial
            lines.append(_line(trial))
        return lines

    def ranked(self) -> list[dict[str, Any]]:
        """All trials that ended, the highest score first, the failed last."""
        return sorted(self._trials.values(), key=lambda t: (-t.get("score", float("-inf")), t["number"]))

    def best_genotype(self) -> Genotype | None:
        """The genotype of the highest score."""
        found = [trial for trial in self.ranked() if "genotype" in trial]
        return Genotype.from_dict(found[0]["genotype"]) if found else None

    def _trial(self, job: Mapping[str, Any]) -> dict[str, Any]:
        identity = str(job.get("trialJobId", job.get("id")))
        number = int(job.get("sequenceId", -1))
        trial: dict[str, Any] = {"number": number, "id": identity, "status": job["status"], "settings": _settings(job)}
        result = self.folder / trial_folder_name(number, identity) / "result.json"
        found = json.loads(result.read_text(encoding="utf-8")) if result.exists() else _reported(job)
        if found:
            trial.update(found)
            penalty = self.penalty(Genotype.from_dict(trial["genotype"])) if self.penalty is not None else 0.0
            trial["score"] = trial["psnr_db"] - penalty
        elif job["status"] != "SUCCEEDED":
            trial["reason"] = self._reason(identity)
        return trial

    def _reason(self, identity: str) -> str:
        """The last line of a failed trial's log that tells of an error."""
        paths = self.folder.parent.glob(f"nni/*/environments/*/trials/{identity}/trial.stderr")
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
        if not texts and self.errors is not None:
            texts = [self.errors(identity)]
        for text in texts:
            for line in reversed(text.splitlines()):
                if match := _ERROR.fullmatch(line.strip()):
                    return match[1]
        return "it was killed, and left no message"


def _reported(job: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a trial that ran on another machine: what it sent through NNI."""
    for metric in reversed(job.get("finalMetricData") or []):
        data = metric.get("data")
        while isinstance(data, str):  # NNI quotes it more than once
            try:
                data = json.loads(data)
            except ValueError:
                break
        if isinstance(data, dict) and "genotype" in data:
            return {"psnr_db": data.pop("default"), **data, "genotype": json.loads(data["genotype"])}
    return {}


def _settings(job: Mapping[str, Any]) -> dict[str, Any]:
    records = job.get("hyperParameters") or ["{}"]
    settings: dict[str, Any] = json.loads(records[0]).get("parameters", {})
    return settings


def _line(trial: Mapping[str, Any]) -> str:
    if "psnr_db" in trial:
        return (
            f"trial {trial['number']}: {trial['psnr_db']:.2f} dB, {trial['parameters']:,} parameters, "
            f"{trial['multiply_adds'] / 1e9:.2f} G multiply-adds; {_words(trial)}"
        )
    word = {"FAILED": "failed", "USER_CANCELED": "was cancelled"}.get(trial["status"], "ended without a result")
    return f"trial {trial['number']} {word}: {trial.get('reason', 'it reported nothing').rstrip('.')}; {_words(trial)}"


def _words(trial: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in trial["settings"].items())
