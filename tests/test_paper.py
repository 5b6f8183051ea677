"""The paper's tables as data against the paper's text, and the ablation rows by their parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet
from jsnas.paper import BICUBIC, OURS, TITLES, find_cell, table, tables, variants
from jsnas.task import Task


def test_every_figure_is_printed_in_the_paper(shared: Path) -> None:
    text = (shared / "paper/jsnet-paper.txt").read_text(encoding="utf-8")
    printed = set(re.findall(r"N/A|\d[\d,]*(?:\.\d+)?[KMG]?", text[text.index("**Table 2**") :]))
    cells = [cell for cell in tables() if cell.table != BICUBIC]
    assert {cell.printed for cell in cells} <= printed
    counts = {name: sum(cell.table == name for cell in cells) for name in TITLES if name != BICUBIC}
    # Rows x columns: 4x5, 8x5, 4x3, 3x2, 6x3, 39x10, 3x1, 8x13, 3x4, 7x8x2 + 4.
    assert list(counts.values()) == [20, 40, 12, 6, 18, 390, 3, 104, 12, 116]


@pytest.mark.parametrize(
    ("place", "printed", "value", "unit"),
    [
        (("7", OURS, "psnr_db", "Set5", 2), "38.05", 38.05, 0.01),
        (("7", OURS, "ssim", "Urban100", 3), "0.8519", 0.8519, 1e-4),
        (("7", "DRRN", "multiply_adds", None, 4), "6,797G", 6.797e12, 1e9),
        (("7", OURS, "parameters", None, 4), "513K", 513e3, 1e3),
        (("9", OURS, "psnr_db", "BSD68", 50), "26.35", 26.35, 0.01),
        (("9", "MemNet", "psnr_db", "Kodak24", 10), "N/A", None, 1),
        (("11", OURS, "parameters", None, None), "0.67M", 0.67e6, 1e4),
        (("11", "JPEG", "ssim", "Classic5", 40), "0.9011", 0.9011, 1e-4),
        (("6", OURS, "seconds", None, 1024), "0.244", 0.244, 1e-3),
    ],
)
def test_single_cells(place: tuple[str, ...], printed: str, value: float | None, unit: float) -> None:
    cell = find_cell(*place)  # type: ignore[arg-type]
    assert cell.printed == printed
    assert cell.value == (None if value is None else pytest.approx(value))
    assert cell.unit == pytest.approx(unit)


def test_tasks_of_cells() -> None:
    assert find_cell("3", "RB", "psnr_db", "Set5").task == Task("sr", scale=4)
    assert find_cell("7", OURS, "ssim", "Set14", 3).task == Task("sr", scale=3)
    assert find_cell("10", OURS, "psnr_db", "BSD200", 70).task == Task("denoise", sigma=70.0)
    assert find_cell("11", "JPEG", "psnr_db", "LIVE1", 30).task == Task("deblock", quality=30)
    assert find_cell("6", OURS, "seconds", None, 256).task is None
    for wrong in (lambda: find_cell("7", OURS, "psnr_db", "Set6", 2), lambda: table("12")):
        with pytest.raises(InputError):
            wrong()


def test_ablation_rows_have_the_counted_parameters() -> None:
    counted = {
        (variant.table, variant.method): sum(p.numel() for p in JSNet(variant.genotype, variant.settings).parameters())
        for variant in variants()
    }
    same = {
        place
        for place, count in counted.items()
        if place[0] != "5" and f"{count // 1000}K" == find_cell(*place, "parameters").printed  # cut off, not rounded
    }
    assert same == {place for place in counted if place[0] in "24"} | {("3", "RB"), ("3", "RB-CA")}
    assert counted["3", "RB-ASM"] == 652_003
    assert counted["5", "all 3x3"] < counted["5", "cross-scale"] < counted["5", "all 5x5"]
    assert counted["5", "cross-scale"] - counted["5", "all 3x3"] == 32 * 32 * (25 - 9)


def test_the_shipped_genotypes_of_tables_2_and_3_are_those_of_the_rows() -> None:
    for variant in variants():
        if variant.table in ("2", "3"):
            name = variant.method.lower().removesuffix("_cell")
            assert Genotype.load(name) == variant.genotype
