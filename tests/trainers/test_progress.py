"""Speed and time left, off a terminal and on one."""

from __future__ import annotations

import pytest

from trainers import progress
from trainers.progress import counting


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr("tqdm.std.time", clock.time)
    return clock


@pytest.mark.parametrize("terminal", [False, True])
def test_the_first_step_counts_in_the_speed(
    terminal: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    report = counting("pack", "images")
    for done in (1, 2):
        clock.now += 20
        report(done, 2)
    said = capsys.readouterr().err
    if terminal:  # two images in 40 s
        assert "[00:40<00:00, 20.00s/images]" in said
    else:
        assert said == "pack: 1/2 images, 0.05 images/s, 20 s left\npack: 2/2 images, 0.05 images/s, 0 s left\n"
