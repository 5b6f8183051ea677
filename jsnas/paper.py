"""The paper's Tables 2 to 11 as data, cell by cell, and the architectures behind its ablation rows.

Source: H. Shen et al., "Joint operation and attention block search for lightweight image restoration", Pattern
Recognition 132 (2022) 108958. The bicubic rows are not in it; they are those of SRCNN (Dong et al., TPAMI 2016; Set5
and Set14) and VDSR (Kim et al., CVPR 2016; BSD100).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jsnas.errors import InputError, unknown_name
from jsnas.genotype import Genotype
from jsnas.network import NetworkSettings
from jsnas.task import Task

OURS = "JSNet (Ours)"
BICUBIC = "bicubic"

# Table -> what it is about, and the task and level that its PSNR cells share.
TITLES: dict[str, str] = {
    "2": "Table 2: operation blocks, super-resolution x4",
    "3": "Table 3: attention blocks, super-resolution x4",
    "4": "Table 4: JSM and CSFM, super-resolution x4",
    "5": "Table 5: kernels of the cross-scale fusion module, super-resolution x4",
    "6": "Table 6: running time, super-resolution x2",
    "7": "Table 7: super-resolution",
    "8": "Table 8: cost of the search",
    "9": "Table 9: gray image denoising",
    "10": "Table 10: gray image denoising, BSD200",
    "11": "Table 11: JPEG deblocking",
    BICUBIC: "Bicubic interpolation (SRCNN's and VDSR's tables)",
}
_KEYS = ("method", "scale", "dataset", "quality", "train_data", "gpu")
_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Cell:
    """One printed figure.

    Attributes:
        table: ``"2"`` to ``"11"``, or ``"bicubic"``.
        method: The row's name.
        metric: ``"psnr_db"``, ``"ssim"``, ``"parameters"``, ``"multiply_adds"``, ``"seconds"`` or ``"gpu_days"``.
        printed: As printed, such as ``"37.05"``, ``"6,797G"`` or ``"N/A"``.
        dataset: The test set, where there is one.
        level: Scale, noise level or JPEG quality, by the table's task; for ``seconds`` the output's side.
    """

    table: str
    method: str
    metric: str
    printed: str
    dataset: str | None = None
    level: int | None = None

    @property
    def value(self) -> float | None:
        """The figure in dB, parameters, multiply-adds, seconds or days; None where "N/A" is printed."""
        number, unit = _number(self.printed)
        return None if number is None else float(number) * unit

    @property
    def unit(self) -> float:
        """What one unit of the last printed digit is worth, in units of ``value``."""
        number, unit = _number(self.printed)
        return unit * 10.0 ** -len((number or "").partition(".")[2])

    @property
    def task(self) -> Task | None:
        """The task of a PSNR, SSIM or complexity cell; None where the level is not one of a task."""
        if self.metric in ("seconds", "gpu_days") or (self.level is None and self.table not in ("2", "3", "4", "5")):
            return None
        if self.table in ("9", "10"):
            return Task("denoise", sigma=float(self.level or 0))
        if self.table == "11":
            return Task("deblock", quality=self.level)
        return Task("sr", scale=4 if self.level is None else self.level)


@dataclass(frozen=True)
class Variant:
    """The architecture of an ablation row.

    Attributes:
        table: ``"2"`` to ``"5"``.
        method: The row's name.
        genotype: Its module.
        settings: Its network: four modules at x4.
    """

    table: str
    method: str
    genotype: Genotype
    settings: NetworkSettings


@cache
def table(name: str) -> tuple[Cell, ...]:
    """All cells of a table, row by row.

    Args:
        name: A key of ``TITLES``.

    Raises:
        InputError: If there is no such table.
    """
    if name not in TITLES:
        raise unknown_name("table", name, TITLES)
    file = "bicubic.csv" if name == BICUBIC else f"table{name}.csv"
    text = (resources.files("jsnas") / "paper_tables" / file).read_text(encoding="utf-8")
    return tuple(cell for row in csv.DictReader(text.splitlines()) for cell in _cells(name, row))


def tables() -> Iterator[Cell]:
    """All cells of all tables, in the paper's order, the bicubic rows last."""
    for name in TITLES:
        yield from table(name)


def find_cell(table_name: str, method: str, metric: str, dataset: str | None = None, level: int | None = None) -> Cell:
    """One cell.

    Raises:
        InputError: If the table has no such cell.
    """
    for cell in table(table_name):
        if (cell.method, cell.metric, cell.dataset, cell.level) == (method, metric, dataset, level):
            return cell
    raise InputError(f"{TITLES[table_name]} has no {metric} of '{method}' on {dataset} at level {level}.")


def variants() -> list[Variant]:
    """The ablation rows of Tables 2 to 5 as genotypes and settings.

    RB-PA is the attention of the search space (541 parameters a module); the printed count has PAN's own 64 to 64
    pixel attention instead (4,160).
    """
    full = Genotype.load("jsnet-sr")
    operations = [name for _, name in full.operations]
    attentions = [name for _, name in full.attentions]
    plain, wide = NetworkSettings(3, 4, 4, fusion_kernels=None), NetworkSettings(3, 4, 4)
    rows: list[tuple[str, str, list[str], list[str], NetworkSettings]] = [
        *(("2", f"RDB-{cell}_cell", [f"rdb_{cell}"] * 6, [], plain) for cell in ("common", "light", "shallow")),
        ("2", "RDB-searched", operations, [], plain),
        ("3", "RB", [], [], plain),
        *(("3", f"RB-{name.upper()}", [], [name], plain) for name in ("ca", "sa", "pa", "cca", "cea", "esa")),
        ("3", "RB-ASM", [], attentions, plain),
        ("4", "baseline", [], [], plain),
        ("4", "JSM", operations, attentions, plain),
        ("4", "CSFM", [], [], wide),
        ("4", "JSM and CSFM", operations, attentions, wide),
        *(
            ("5", name, operations, attentions, NetworkSettings(3, 4, 4, fusion_kernels=kernels))
            for name, kernels in (("all 3x3", (3, 3)), ("all 5x5", (5, 5)), ("cross-scale", (5, 3)))
        ),
    ]
    return [
        Variant(name, row, Genotype.from_names("sr", ops, atts), settings) for name, row, ops, atts, settings in rows
    ]


def _cells(name: str, row: dict[str, str]) -> Iterator[Cell]:
    level = next((int(row[key]) for key in ("scale", "quality") if row.get(key)), None)
    for column, printed in row.items():
        if column in _KEYS or not printed:
            continue
        metric, *place = column.split(":")
        if metric == "seconds":
            yield Cell(name, row["method"], metric, printed, None, int(place[0]))
            continue
        dataset = place[0] if place else row.get("dataset") or None
        yield Cell(name, row["method"], metric, printed, dataset, int(place[1]) if len(place) > 1 else level)


def _number(printed: str) -> tuple[str | None, float]:
    if printed == "N/A":
        return None, 1.0
    digits = printed.replace(",", "")
    unit = _UNITS.get(digits[-1], 1.0)
    return digits.rstrip("KMG"), unit
