"""The page, the record and the model card that a run leaves, and the page while it goes on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_runs import run

from jsnas import load_checkpoint
from jsnas.cost import cost_of
from jsnas.data.h5 import H5Images
from trainers import report
from trainers.cli import main
from trainers.config_file import load_config
from trainers.report import LiveReport, write_report
from trainers.run_record import command

REFRESH = 'http-equiv="refresh"'


@pytest.fixture(scope="module")
def searched(tiny: Path) -> Path:
    assert run(tiny, "search", "search") == 0
    return tiny / "search"


@pytest.fixture(scope="module")
def trained(tiny: Path, searched: Path) -> Path:
    assert run(tiny, "train", "train", "--genotype", str(searched)) == 0
    return tiny / "train"


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_run_leaves_its_page_and_its_record(tiny: Path, searched: Path, trained: Path, kind: str) -> None:
    folder = tiny / kind
    record = json.loads((folder / "run.json").read_text())
    images = H5Images(tiny / "data.h5")
    assert record["kind"] == kind
    assert record["data"] == {"file": str(images.path), "images": 5, "sha256": images.sha256()}
    (session,) = record["sessions"]
    assert session["outcome"] == "finished" and session["ended"] >= session["started"]
    assert session["versions"]["nni"] == "3.0" and session["hardware"]["cores"] >= 1
    page = (folder / "report.html").read_text()
    assert REFRESH not in page and "finished" in page and "Not shown" not in page
    assert record["data"]["sha256"] in page
    assert ("How the probabilities moved" in page) == (kind == "search")


def test_the_report_command_writes_the_page_again(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (searched / "report.html").unlink()
    assert main(["report", str(searched)]) == 0
    assert capsys.readouterr().out == f"Wrote {searched / 'report.html'}.\n"
    assert (searched / "report.html").stat().st_size < 5_000_000
    assert main(["report", str(searched / "none")]) == 2
    assert "There is no run folder" in capsys.readouterr().err


def test_the_page_goes_along_with_the_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def spy(folder: Path, running: bool = False) -> Path:
        page = write_report(folder, running)
        seen.append(page.read_text())
        return page

    monkeypatch.setattr(report, "write_report", spy)
    monkeypatch.setattr(report, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(report, "_LARGEST_SHARE", 1e9)
    assert run(tiny, "search", "live") == 0
    assert [REFRESH in page for page in seen] == [True] * 4 + [False]  # four lines of metrics, then the end
    written = [re.search(r"Written (\d+) times up to iteration (\d+)", page) for page in seen]
    assert [match and match.groups() for match in written] == [
        ("1", "2"),
        ("2", "4"),
        ("3", "6"),
        ("4", "8"),
        ("4", "8"),
    ]


def test_the_page_takes_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(report, "write_report", lambda folder, running: calls.append(running))
    page = LiveReport(tmp_path, "search", load_config("demo"))
    part = LiveReport(tmp_path, "search", load_config("demo"), parent=page)
    for _ in range(50):
        part.update()
    assert calls == [True, True]  # its own and its parent's, once
    page.close()
    assert calls == [True, True, False]


def test_a_fault_in_the_page_is_said_once_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, running: bool) -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr(report, "report_page", fail)
    page = LiveReport(tmp_path, "search", load_config("demo"))
    with pytest.warns(UserWarning, match="no ink") as said:
        page.update()
        page.close()
    assert len(said) == 1


def test_a_run_that_is_cut_short_says_so_and_one_that_is_carried_on_has_two_sessions(tmp_path: Path) -> None:
    config = load_config("demo")
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    LiveReport(tmp_path, "train", config).close()
    assert "stopped before its end" in (tmp_path / "report.html").read_text()
    again = LiveReport(tmp_path, "train", config)
    again.done()
    again.close()
    outcomes = [session["outcome"] for session in json.loads((tmp_path / "run.json").read_text())["sessions"]]
    assert outcomes == ["stopped before its end", "finished"]
    assert "Made by 2 commands" in (tmp_path / "report.html").read_text()


def test_a_damaged_record_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    LiveReport(tmp_path, "train", load_config("demo"))
    assert len(json.loads((tmp_path / "run.json").read_text())["sessions"]) == 1


def test_the_command_is_named_by_what_the_user_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("/somewhere/bin/jsnas", "/somewhere/jsnas/__main__.py"):
        monkeypatch.setattr("sys.argv", [program, "search", "--seed", "1"])
        assert command() == ["jsnas", "search", "--seed", "1"]
    monkeypatch.setattr("sys.argv", ["/somewhere/my_script.py"])
    assert command() == ["my_script.py"]


def test_the_model_card_tells_what_the_checkpoint_is(tiny: Path, trained: Path) -> None:
    card = (trained / "model_card.md").read_text()
    network = load_checkpoint(trained / "checkpoint.safetensors")
    metrics: dict[str, Any] = network.metadata["metrics"]
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] is None and "sr-x2" in front["tags"]
    cost = cost_of(network)
    for line in (
        "| Scale | 2 |",
        f"| Iterations | {metrics['iteration']} of 8 |",
        f"| Parameters | {cost.parameters:,} |",
        f"| Multiply-adds | {cost.multiply_adds / 1e9:.2f} G for a 1280x720 output (half of torch's count) |",
        f"| Smallest input | {network.smallest_input} x {network.smallest_input} pixels |",
        f"- PSNR, dB: {metrics['validation_psnr_db']:.4f}",
        "- Measured on 1 held-out images.",
        "- Weights: 3 images (1-3); validation: 1 images (5).",
    ):
        assert line in card.splitlines()
    assert "channel y, 2 pixels cut off each side" in card
    assert main(["export", str(trained), str(tiny / "shipped.safetensors")]) == 0
    assert (tiny / "shipped-model_card.md").read_text() == card
    assert main(["export", str(trained / "checkpoint.safetensors"), str(tiny / "again.safetensors")]) == 0
    again = (tiny / "again-model_card.md").read_text()
    assert f"| Parameters | {cost.parameters:,} |" in again and f"| Iterations | {metrics['iteration']} |" in again
    assert f"- validation_psnr_db: {metrics['validation_psnr_db']}" in again
    assert "## Data\n\nNot recorded" in again and "license: null" in again
    assert H5Images(tiny / "data.h5").sha256() in card
