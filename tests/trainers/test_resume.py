"""What a run that is carried on finds: no state yet, a damaged one, a log that went further."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainers.cli import main
from trainers.state import load_newest_state, save_state

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", ["search", "train"])
def test_a_run_killed_before_its_first_state_starts_its_log_anew(tiny: Path, command: str) -> None:
    words = [
        command,
        "--config",
        str(tiny / "tiny.yaml"),
        "--data",
        str(tiny / "data.h5"),
        "--logger.tensorboard=false",
    ]
    words += ["--genotype", "rb-ca"] if command == "train" else []
    whole, cut = tiny / f"{command}-all", tiny / f"{command}-early"
    assert main([*words, "--out", str(whole)]) == 0
    cut.mkdir()
    (cut / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
    lines = (whole / "metrics.jsonl").read_text().splitlines(keepends=True)
    (cut / "metrics.jsonl").write_text(lines[0] + lines[1][:20])  # and in the middle of a line
    assert main([*words, "--out", str(cut), "--resume"]) == 0
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_run_of_another_command_is_left_as_it_is(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5"), "--logger.tensorboard=false"]
    out = tiny / "searched"
    assert main(["search", *words, "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(["train", *words, "--genotype", "rb-ca", "--out", str(out), "--resume"]) == 2
    assert "holds a run of `jsnas search`, which `jsnas train` cannot carry on; choose" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    config = out / "config.yaml"
    config.write_text(config.read_text().partition("\n")[2])  # whose run it is, it no longer says; its states do
    assert main(["train", *words, "--genotype", "rb-ca", "--out", str(out), "--resume"]) == 2
    assert "are of another command; choose another --out." in capsys.readouterr().err


def test_damaged_states_are_passed_over_and_do_not_outlive_the_next(tmp_path: Path) -> None:
    for iteration in (4, 8):
        save_state(tmp_path, iteration, {"x": torch.ones(3)})
    newest = tmp_path / "00000008.pt"
    newest.write_bytes(newest.read_bytes()[:-40])
    with pytest.warns(UserWarning, match=r"00000008\.pt' is damaged or cut short.*The one before it is used"):
        state = load_newest_state(tmp_path)
    assert state is not None and state["iteration"] == 4
    save_state(tmp_path, 6, {"x": torch.ones(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000004.pt", "00000006.pt"]
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"):
        assert load_newest_state(tmp_path) is None


def test_random_kills_change_nothing(tmp_path: Path) -> None:
    """The small form of ``python -m benchmarks.kill_and_resume --kills 20``."""
    figures = tmp_path / "kills.json"
    words = [sys.executable, "-m", "benchmarks.kill_and_resume", "--kills", "2", "--json", str(figures)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = json.loads(figures.read_text())["runs"]
    assert [run["command"] for run in runs] == ["search", "train"]
    assert all(kill["killed"] and not kill["different"] for run in runs for kill in run["kills"])


def test_two_runs_in_one_folder_do_not_meet(tiny: Path) -> None:
    words = ["train", "--config", str(tiny / "tiny.yaml"), "--data", str(tiny / "data.h5"), "--genotype", "rb-ca"]
    command = [sys.executable, "-m", "jsnas", *words, "--out", str(tiny / "shared"), "--resume", "--iterations", "100"]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=600)[1] for process in both]
    codes = [process.returncode for process in both]
    # The second finds the first at work, or, where it started late, a finished run.
    assert 0 in codes and set(codes) <= {0, 2}
    for code, said in zip(codes, errors, strict=True):
        assert (code == 2) == ("Another process is working in" in said), said
    lines = (tiny / "shared" / "metrics.jsonl").read_text().splitlines()
    iterations = [json.loads(line)["iteration"] for line in lines]
    assert iterations == sorted(set(iterations)) and iterations[-1] == 100
