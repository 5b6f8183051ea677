"""Runs of the folder ``tiny``, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainers.cli import main


def run(tiny: Path, command: str, out: str, *more: str) -> int:
    config = ["--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5"), "--out", str(tiny / out)]
    return main([command, *config, *more])


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
