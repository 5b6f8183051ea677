"""The certificate as data, as JSON and as a page that needs nothing else."""

from __future__ import annotations

import html
import json
import math
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import torch

from jsnas.paper import OURS, TITLES, Cell

REPRODUCED, DIFFERS, DIFFERS_DATA, NOT_RUN = "reproduced", "differs", "differs (data)", "not run"
AS_PUBLISHED, UNKNOWN_DATA = "as published", "no hash of the published set is known"

TOLERANCES = {
    "psnr_db": "half a unit of the last printed digit (0.005 dB)",
    "ssim": "half a unit of the last printed digit (0.00005)",
    "parameters": "rounded or cut off to the printed digits",
    "multiply_adds": "half a unit of the last printed digit; convolutions and matrix products, 1280x720 output",
}
_NAMES = {
    "psnr_db": "PSNR, dB",
    "ssim": "SSIM",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "seconds",
    "gpu_days": "GPU days",
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
class Certificate:
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
            "format": "jsnas-certificate/1",
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


def certificate_html(certificate: Certificate) -> str:
    """The page: summary, what was measured on what, and all tables; no file or address is loaded by it."""
    counts = "".join(f"<li><b>{n}</b> {_mark(verdict)}</li>" for verdict, n in certificate.counts().items())
    tolerances = "".join(f"<li>{_NAMES[metric]}: {html.escape(text)}</li>" for metric, text in TOLERANCES.items())
    parts = [
        _HEAD,
        "<h1>JSNet: the paper's figures and ours</h1>",
        "<p>Every figure under <i>ours</i> was measured in the run that wrote this page "
        f"({datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {html.escape(certificate.device)}, torch {torch.__version__}). "
        "Cells that were not measured say so.</p>",
        f"<ul class=counts>{counts}</ul>",
        f"<p>A figure is <i>reproduced</i> if it agrees with the printed one within:</p><ul>{tolerances}</ul>",
        "<h2>Checkpoints</h2>",
        _rows(
            ("file", "task", "parameters", "SHA-256"),
            ((c.path, c.task, f"{c.parameters:,}", c.sha256) for c in certificate.checkpoints),
        ),
        "<h2>Images</h2>",
        _rows(
            ("set", "task", "images", "status", "SHA-256 of names and pixels"),
            ((d.dataset, d.task, str(d.images), d.status, d.sha256) for d in certificate.data),
        ),
    ]
    for name, group in groupby(certificate.entries, key=lambda entry: entry.cell.table):
        entries = list(group)
        shown = [entry for entry in entries if entry.ours is not None or entry.cell.method == OURS]
        rest = [entry for entry in entries if entry.ours is None and entry.cell.method != OURS]
        parts += [f"<h2>{html.escape(TITLES[name])}</h2>", _cells(shown) if shown else ""]
        if rest:
            parts.append(f"<details><summary>{len(rest)} cells not run</summary>{_cells(rest)}</details>")
    return "\n".join(parts) + "\n</main></body></html>\n"


_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>JSNet certificate</title><style>
body{font:15px/1.45 system-ui,sans-serif;color:#222;background:#fff;margin:0}
main{max-width:76rem;margin:auto;padding:1rem}
div.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
td.n{text-align:right}td{overflow-wrap:anywhere}ul.counts{list-style:none;padding:0;display:flex;gap:2rem}
.reproduced{color:#11663a}.differs{color:#8a5000}.data{color:#a01818;font-weight:bold}.not{color:#666}
</style></head><body><main>"""


def _cells(entries: list[Entry]) -> str:
    head = (
        "row",
        "level",
        "set",
        "figure",
        "paper",
        "ours",
        "difference",
        "verdict",
        "measured on",
        "convention",
        "data",
        "",
    )
    body = []
    for entry in entries:
        cell = entry.cell
        texts = [cell.method, "" if cell.level is None else str(cell.level), cell.dataset or "", _NAMES[cell.metric]]
        row = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
        numbers = (cell.printed, _figure(cell.metric, entry.ours), _figure(cell.metric, entry.difference, signed=True))
        row += "".join(f"<td class=n>{html.escape(number)}</td>" for number in numbers)
        row += f"<td>{_mark(entry.verdict)}</td>"
        data = entry.data.sha256[:12] if entry.data else ""
        notes = (entry.subject or "", entry.convention or "", data, entry.note)
        body.append("<tr>" + row + "".join(f"<td>{html.escape(text)}</td>" for text in notes) + "</tr>")
    return _table(head, body)


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = ["<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows]
    return _table(head, body) if body else "<p>None were given.</p>"


def _table(head: Iterable[str], body: list[str]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<div class=wide><table><thead><tr>{cells}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _mark(verdict: str) -> str:
    style = {REPRODUCED: "reproduced", DIFFERS: "differs", DIFFERS_DATA: "data", NOT_RUN: "not"}[verdict]
    return f"<span class={style}>{verdict}</span>"


def _figure(metric: str, value: float | None, signed: bool = False) -> str:
    if value is None:
        return ""
    sign = "+" if signed else ""
    if metric == "multiply_adds":
        return f"{value / 1e9:{sign}.1f}G"
    digits = {"psnr_db": 3, "ssim": 4, "parameters": 0}.get(metric, 3)
    return f"{value:{sign},.{digits}f}"
