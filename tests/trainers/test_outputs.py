"""What a command writes replaces nothing but what jsnas writes, and goes where it was told to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from jsnas import Genotype, JSNet, NetworkSettings, Task, save_checkpoint
from trainers.cli import main

JSNAS = [sys.executable, "-c", "from trainers.start import main; raise SystemExit(main())"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = JSNet(Genotype.load("rb-ca"), NetworkSettings(3, 2, 1, 8, 8, None))
    save_checkpoint(tmp_path / "run" / "checkpoint.safetensors", network, Task("sr", 2))
    return tmp_path / "run" / "checkpoint.safetensors"


@pytest.fixture(autouse=True)
def images(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "images").mkdir()
    Image.radial_gradient("L").resize((32, 24)).save(tmp_path / "images" / "a.png")
    return tmp_path / "images"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "{run}", "{images}", "--json", "{file}"],
        ["cost", "jsnet-sr", "--json", "{file}"],
        ["pack", "{images}", "{file}", "--task", "denoise"],
        ["export", "jsnet-sr", "{file}.py"],
        ["export", "jsnet-sr", "{file}.safetensors"],
        ["draw", "jsnet-sr", "{file}.svg"],
    ],
    ids=lambda words: words[0] + words[2][-3:],
)
@pytest.mark.parametrize("theirs", ["import torch\n", "\x89PN"])
def test_somebody_elses_file_is_left_alone(
    tmp_path: Path, checkpoint: Path, words: list[str], theirs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"run": checkpoint.parent, "images": tmp_path / "images", "file": tmp_path / "file"}
    given = [word.format(**names) for word in words]
    (out,) = (Path(word) for word in given if "file" in Path(word).name)
    out.write_text(theirs, encoding="latin-1")
    assert main(given) == 2
    assert "is there already and holds no" in capsys.readouterr().err
    assert out.read_text(encoding="latin-1") == theirs
    out.unlink()
    assert main(given) == 0 and main(given) == 0  # its own result is replaced
    capsys.readouterr()


def test_it_is_said_before_the_work_that_figures_cannot_be_written(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.evaluate.evaluate", None)
    for name, sentence in (("no/x.json", "no folder"), ("images", "it is a folder")):
        assert main(["evaluate", str(checkpoint), str(tmp_path / "images"), "--json", str(tmp_path / name)]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["search", "--config", "quick", "--out", ""],
        ["restore", "x.safetensors", "y.png", "--out", ""],
        ["restore", "", "y.png", "--out", "x"],
        ["evaluate", "", "images"],
    ],
)
def test_an_empty_path_is_no_path(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert re.search("(--out|checkpoint): the path is empty", capsys.readouterr().err)


def test_a_pipe_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main(["cost", "jsnet-sr", "--json", str(tmp_path / "pipe")]) == 2
    assert "is no file that can be replaced" in capsys.readouterr().err


@pytest.mark.parametrize("delay", [0.1, 0.3, 0.5])
def test_ctrl_c_while_torch_is_imported(delay: float) -> None:
    code = (
        "import os, signal, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a background process may lack
        "from trainers.start import main\n"
        f"threading.Timer({delay}, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "raise SystemExit(main())\n"
    )
    words = [sys.executable, "-c", code, "search", "--config", "sr-x2", "--data", "none.h5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 130 and done.stderr.startswith("jsnas: stopped") and done.stderr.count("\n") == 1


def test_without_standard_streams(tmp_path: Path, checkpoint: Path) -> None:
    shell = f'cd {tmp_path} && "$0" "$@"'
    for k in range(3):
        Image.radial_gradient("L").resize((32, 24)).save(tmp_path / "images" / f"{k}.png")
    for closed in ("2>&-", ">&-", "<&- >&- 2>&-"):
        words = ["pack", "images", "a.h5", "--task", "denoise", "--processes", "2"]
        done = subprocess.run(["sh", "-c", f"{shell} {closed}", *JSNAS, *words], check=False)
        assert done.returncode == 0 and (tmp_path / "a.h5").read_bytes()[1:4] == b"HDF"
        (tmp_path / "a.h5").unlink()
    words = ["restore", str(checkpoint), "-", "--out", "-"]
    done = subprocess.run(["sh", "-c", f"{shell} <&-", *JSNAS, *words], capture_output=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith(b"jsnas: Standard input is closed")


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    for words in (["--help"], ["list"], ["--version"]):
        shell = f'"$0" "$@" 2>{tmp_path}/said | true; cat {tmp_path}/said'
        done = subprocess.run(["sh", "-c", shell, *JSNAS, *words], capture_output=True, check=True)
        assert done.stdout == b""
    done = subprocess.run(["sh", "-c", '"$0" "$@" 2>/dev/full', *JSNAS, "cost", "nope"], check=False)
    assert done.returncode == 2
    done = subprocess.run(["sh", "-c", '"$0" "$@" > /dev/full', *JSNAS, "--help"], capture_output=True, check=False)
    assert (
        done.returncode == 2 and done.stderr.startswith(b"jsnas: The system refused") and done.stderr.count(b"\n") == 1
    )
