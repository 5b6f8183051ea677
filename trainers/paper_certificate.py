"""The certificate of the paper's tables: every printed figure, and what a run measured of it."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch

from jsnas.paper import Cell

REPRODUCED, DIFFERS, DIFFERS_DATA, NOT_RUN = "reproduced", "differs", "differs (data)", "not run"
AS_PUBLISHED, UNKNOWN_DATA = "as published", "no hash of the published set is known"

TOLERANCES = {
    "psnr_db": "half a unit of the last printed digit (0.005 dB)",
    "ssim": "half a unit of the last printed digit (0.00005)",
    "parameters": "rounded or cut off to the printed digits",
    "multiply_adds": "half a unit of the last printed digit; convolutions and matrix products, 1280x720 output",
}


@dataclass(frozen=True)
class DataRecord:
    """The pixels of one set that figures were measured on.

    Attributes:
        dataset: The paper's name of the set.
        task: Task and level.
        images: Number of images.
        hq_sha256: Hash of the high-quality pixels.
        sha256: Hash of names, high- and low-quality pixels.
        status: ``AS_PUBLISHED``, ``UNKNOWN_DATA``, or in what the pixels differ.
    """

    dataset: str
    task: str
    images: int
    hq_sha256: str
    sha256: str
    status: str


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint that was measured: its file, the file's SHA-256, its task and its parameters."""

    path: str
    sha256: str
    task: str
    parameters: int


@dataclass(frozen=True)
class Entry:
    """One cell of the paper and what this run has to say about it.

    Attributes:
        cell: The paper's.
        ours: The figure measured in this run; None where none was.
        subject: What was measured: a checkpoint, the JPEG encoder, bicubic interpolation.
        convention: Name of the convention it was scored by.
        data: What it was measured on.
        verdict: ``reproduced``, ``differs``, ``differs (data)`` or ``not run``.
        note: Why.
    """

    cell: Cell
    ours: float | None
    subject: str | None
    convention: str | None
    data: DataRecord | None
    verdict: str
    note: str

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's; None where either is missing."""
        return None if self.ours is None or self.cell.value is None else self.ours - self.cell.value


@dataclass(frozen=True)
class PaperCertificate:
    """Everything a run measured.

    Attributes:
        entries: Every cell of every table, in order.
        checkpoints: What was measured.
        data: What it was measured on.
        device: Where.
    """

    entries: tuple[Entry, ...]
    checkpoints: tuple[CheckpointRecord, ...]
    data: tuple[DataRecord, ...]
    device: str

    def counts(self) -> dict[str, int]:
        """Number of cells by verdict."""
        verdicts = (REPRODUCED, DIFFERS, DIFFERS_DATA, NOT_RUN)
        return {verdict: sum(entry.verdict == verdict for entry in self.entries) for verdict in verdicts}

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; an infinite PSNR (equal images) is null."""
        return {
            "format": "jsnas-reproduction/1",
            "machine": {"device": self.device, "torch": torch.__version__, "python": platform.python_version()},
            "counts": self.counts(),
            "tolerances": TOLERANCES,
            "checkpoints": [asdict(record) for record in self.checkpoints],
            "data": [asdict(record) for record in self.data],
            "cells": [
                {
                    "table": entry.cell.table,
                    "method": entry.cell.method,
                    "dataset": entry.cell.dataset,
                    "level": entry.cell.level,
                    "metric": entry.cell.metric,
                    "paper": entry.cell.printed,
                    "paper_value": entry.cell.value,
                    "ours": _finite(entry.ours),
                    "difference": _finite(entry.difference),
                    "subject": entry.subject,
                    "convention": entry.convention,
                    "data_sha256": entry.data.sha256 if entry.data else None,
                    "verdict": entry.verdict,
                    "note": entry.note,
                }
                for entry in self.entries
            ],
        }

    def to_json(self) -> str:
        """``to_dict`` as indented JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


def judge(cell: Cell, ours: float, subject: str, convention: str, data: DataRecord | None) -> Entry:
    """The entry of a measured figure. Altered data never reproduce anything, whatever the figure."""
    if cell.value is None:
        return Entry(cell, ours, subject, convention, data, NOT_RUN, "the paper prints no figure")
    if data is not None and data.status not in (AS_PUBLISHED, UNKNOWN_DATA):
        return Entry(cell, ours, subject, convention, data, DIFFERS_DATA, f"{data.dataset}: {data.status}")
    above = cell.unit if cell.metric == "parameters" else cell.unit / 2
    arithmetic = 1e-9 * cell.unit
    agrees = -cell.unit / 2 - arithmetic <= ours - cell.value <= above + arithmetic
    note = f"{data.dataset}: {data.status}" if data is not None else ""
    return Entry(cell, ours, subject, convention, data, REPRODUCED if agrees else DIFFERS, note)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
