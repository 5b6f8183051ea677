"""Drawn genotypes as files: SVG as it is, PNG and PDF through typst, a Python wheel that needs no program beside it."""

from __future__ import annotations

import importlib
import re
import tempfile
from pathlib import Path

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError

SUFFIXES = (".svg", ".png", ".pdf")
_FONTS = "Liberation Sans, DejaVu Sans, Arial, Helvetica, DejaVu Sans Mono"  # the last one comes with typst
_PIXELS_PER_INCH = 300.0
_PAGE = "#set page(width: auto, height: auto, margin: 0pt)\n#image({name})\n"


def write_picture(path: Path, svg: str) -> None:
    """Writes a picture in the form that the suffix names; PNG (300 pixels an inch) and PDF in the light colours.

    Args:
        path: ``.svg``, ``.png`` or ``.pdf``.
        svg: A picture of ``jsnas.report.module_svg``.

    Raises:
        InputError: If the suffix is another one, typst is not installed, or the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"'{path}' is no name for a picture; end it in {', '.join(SUFFIXES)}.")
    form = path.suffix.removeprefix(".")
    content = svg.encode("utf-8") if form == "svg" else _typeset(svg, form, _PIXELS_PER_INCH)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def png_picture(svg: str, pixels_per_inch: float) -> bytes:
    """A picture of ``jsnas.report.module_svg`` as PNG.

    Raises:
        InputError: If typst is not installed.
    """
    return _typeset(svg, "png", pixels_per_inch)


def _typeset(svg: str, form: str, pixels_per_inch: float) -> bytes:
    try:
        typst = importlib.import_module("typst")
    except ImportError as error:
        raise InputError(
            f"A picture as {form.upper()} needs typst; install it with `pip install jsnas[draw]` or use .svg."
        ) from error
    # The light colours stand in the attributes; the style sheet's custom properties are for browsers.
    plain = re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL).replace("<svg ", f'<svg font-family="{_FONTS}" ', 1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "module.svg").write_text(plain, encoding="utf-8")
        page = Path(folder) / "page.typ"
        page.write_text(_PAGE.format(name='"module.svg"'), encoding="utf-8")
        content: bytes = typst.compile(str(page), format=form, ppi=pixels_per_inch)
    return content
