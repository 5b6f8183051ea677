"""The progress of long work: one line on a terminal, JSON elsewhere."""

from __future__ import annotations

import io
import json
import sys

import pytest

from trainers import progress
from trainers.progress import Progress, counting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_every_line_is_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 104.0, 116.0, 116.0, 120.0, 140.0, 140.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress("search", 40, done=10) as shown:
        shown.update(12, {"loss": 2.0})  # 4 s after the start: quiet
        shown.update(18, {"loss": 1.23456789, "genotype_changes": 3})
        shown.update(20)
        shown.update(40, {"strategy": "pc_darts"})
    first, last = map(json.loads, capsys.readouterr().err.splitlines())
    assert first == {
        "progress": "search",
        "done": 18,
        "total": 40,
        "unit": "it",
        "per_second": 0.5,  # 8 of this process in 16 s
        "seconds_left": 44.0,
        "loss": 1.23457,
        "genotype_changes": 3,
    }
    assert last["done"] == last["total"] == 40 and last["seconds_left"] == 0 and last["strategy"] == "pc_darts"


def test_on_a_terminal_it_is_one_line_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("train", 10) as shown:
        shown.update(5, {"loss": 1.23456, "best_psnr_db": 31.987, "genotype_changes": 2})
        shown.update(10, {"loss": 1.0, "best_psnr_db": 32.0, "genotype_changes": 2})
    written = terminal.getvalue()
    assert "\n" not in written.rstrip("\n") and "{" not in written
    assert "10/10" in written and "loss 1, best PSNR 32.00 dB, genotype changes 2" in written


def test_work_that_tells_its_total_as_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    show = counting("pack", "images")
    show(1, 2)
    show(2, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["unit"] == "images"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize("terminal", [False, True])
def test_the_first_step_counts_in_the_speed(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr("tqdm.std.time", clock.time)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    report = counting("pack", "images")
    for done in (1, 2):
        clock.now += 20
        report(done, 2)
    said = capsys.readouterr().err
    if terminal:  # two images in 40 s
        assert "[00:40<00:00, 20.00s/images]" in said
    else:
        lines = [json.loads(line) for line in said.splitlines()]
        assert [(line["per_second"], line["seconds_left"]) for line in lines] == [(0.05, 20), (0.05, 0)]
