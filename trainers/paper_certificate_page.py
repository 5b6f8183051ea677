"""The certificate of the paper's tables as a page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

import torch

from jsnas.paper import OURS, TITLES
from trainers.paper_certificate import DIFFERS, DIFFERS_DATA, NOT_RUN, REPRODUCED, TOLERANCES, Entry, PaperCertificate

_NAMES = {
    "psnr_db": "PSNR, dB",
    "ssim": "SSIM",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "seconds",
    "gpu_days": "GPU days",
}


def certificate_page(certificate: PaperCertificate) -> str:
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
