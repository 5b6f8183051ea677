"""The small forms of the fuzzer, of the faults at every write, and of the soak; ``benchmarks/`` has the long ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run(name: str, figures: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{name}", *words, "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout)  # says how many inputs were tried
    assert done.returncode == 0 or name == "soak", done.stdout + done.stderr
    content: dict[str, Any] = json.loads(figures.read_text())
    return content


def test_a_hundred_bad_inputs_get_a_sentence_each(tmp_path: Path) -> None:
    figures = run("fuzz", tmp_path / "f.json", "--inputs", "100", "--seed", "1")
    assert sum(figures["inputs"].values()) == 100 and len(figures["inputs"]) >= 8 and not figures["faults"]


def test_every_write_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    paths = run("write_faults", tmp_path / "f.json", "--sizes", "3")["paths"]
    assert len(paths) == 10 and not any(path["faults"] for path in paths)


def test_files_stay_closed_over_a_training(tmp_path: Path) -> None:
    result = run("soak", tmp_path / "f.json", "--iterations", "300", "--commands", "train")["runs"][0]
    assert result["readings"] > 10 and result["open_files"][1] <= result["open_files"][0]
    assert result["growth"] < 0.2  # a short run still warms up; the long form asks for 0.02
