from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.report.module_svg import draw_genotype, read_genotype
from jsnas.report.picture_files import write_picture
from trainers.cli import main

SVG = draw_genotype(Genotype.load("jsnet-sr"))


def test_svg_is_written_as_it_is(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.svg", SVG)
    assert read_genotype((tmp_path / "a.svg").read_text(encoding="utf-8")) == Genotype.load("jsnet-sr")


def test_the_command_draws_twelve_labelled_edges_that_a_blind_reader_reads_back(tmp_path: Path) -> None:
    assert main(["draw", "jsnet-sr", str(tmp_path / "a.svg")]) == 0
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert svg.count('class="jsm-edge') == 12
    assert read_genotype(svg, from_labels=True) == Genotype.load("jsnet-sr")
    assert main(["draw", "jsnet-sr", str(tmp_path / "b.pdf"), "--against", "rdb-searched"]) == 0
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


def test_png_is_large_and_has_the_colours_of_the_panels(tmp_path: Path) -> None:
    pytest.importorskip("typst")
    write_picture(tmp_path / "a.png", SVG)
    with Image.open(tmp_path / "a.png") as image:
        colors = {color for count, color in image.convert("RGB").getcolors(1 << 24) or [] if count > 10_000}
        assert image.width > 3000
    assert {(255, 255, 255), (0xED, 0xF6, 0xE8), (0xFC, 0xEE, 0xEC)} <= colors


def test_pdf_is_one(tmp_path: Path) -> None:
    pytest.importorskip("typst")
    write_picture(tmp_path / "a.pdf", SVG)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no name for a picture"):
        write_picture(tmp_path / "a.jpg", SVG)
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(InputError, match=r"jsnas\[draw\]"):
        write_picture(tmp_path / "a.png", SVG)
    assert not list(tmp_path.iterdir())
