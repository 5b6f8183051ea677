"""The committed pages of figures are what their commands write from the committed figures."""

from __future__ import annotations

import importlib
import json

import pytest
from pages import ROOT


@pytest.mark.parametrize("name", ["inheritance", "transfer"])
def test_a_page_is_made_from_its_figures(name: str) -> None:
    folder = ROOT / "benchmarks"
    content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    made: str = importlib.import_module(f"benchmarks.{name}").page(content)
    assert made == (folder / f"{name}.md").read_text(encoding="utf-8")
    for run in content.get("pairs", []) + content.get("repeats", []):
        assert run["seconds"] > 0
