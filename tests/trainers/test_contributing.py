"""The walk-through of CONTRIBUTING.md, its code and its commands as they stand there, at the size of a test."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from trainers.cli import main

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
OUTSIDE = TEXT.partition("## A block of your own")[2]


def test_the_walk_through_works(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", OUTSIDE, re.DOTALL)
    commands = re.search(r"```sh\n(.*?)```", OUTSIDE, re.DOTALL)
    assert code is not None and commands is not None
    (tmp_path / "my_blocks.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_blocks", raising=False)
    lines = [shlex.split(line)[1:] for line in commands[1].splitlines()]
    assert [words[0] for words in lines] == ["block", "search", "train", "export"]
    replaced = {"sr-x2": str(tiny / "tiny.yaml"), "images.h5": str(tiny / "data.h5")}
    for words in lines:
        assert main([replaced.get(word, word) for word in words]) == 0, words
    assert "class JSNet" in (tmp_path / "network.py").read_text()


def test_the_worked_example_is_a_good_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code is not None
    source = "from torch import Tensor, nn\n\n" + "\n".join(line[3:] for line in code[1].splitlines())
    (tmp_path / "asymmetric_block.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["block", "check", "asymmetric_block:Asymmetric"]) == 0
