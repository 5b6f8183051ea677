"""The committed pages of figures are what their commands write from the committed figures."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from pages import ROOT

from benchmarks import jsnet_bench
from benchmarks.tournament import command
from jsnas.bench import load_table
from trainers.config_file import load_config
from trainers.tournament.contestants import contestants_of
from trainers.tournament.page import chart_file, markdown_page
from trainers.tournament.verdict import judge


@pytest.mark.parametrize("name", ["ablations", "inheritance", "transfer"])
def test_a_page_is_made_from_its_figures(name: str) -> None:
    folder = ROOT / "benchmarks"
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    made: str = importlib.import_module(f"benchmarks.{name}").page(content)
    assert made == (folder / f"{name}.md").read_text(encoding="utf-8")
    for run in content.get("pairs", []) + content.get("repeats", []):
        assert run["seconds"] > 0


def test_the_tournaments_page_and_chart_are_made_from_its_figures() -> None:
    folder = ROOT / "benchmarks"
    content = json.loads((folder / "tournament.json").read_text(encoding="utf-8"))
    judgement = judge(content)
    assert markdown_page(content, judgement, command(content)) == (folder / "tournament.md").read_text(encoding="utf-8")
    assert chart_file(judgement) == (folder / "tournament.svg").read_text(encoding="utf-8")
    assert {c.name for c in contestants_of(load_config("tournament"))} == {s.name for s in judgement.standings}


def test_the_shipped_table_is_small_whole_and_judged_on_its_page() -> None:
    table = ROOT / "benchmarks" / "jsnet-bench.csv"
    assert table.stat().st_size < 2_000_000
    rows, protocols = load_table(table)
    assert jsnet_bench.page(rows, protocols) == table.with_suffix(".md").read_text(encoding="utf-8")
