"""What measurements with a page share: run, or read the figures of an earlier run; write figures and page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from jsnas.process import prepare_process


def page_parser(description: str | None, work: str) -> argparse.ArgumentParser:
    """The options of all of them.

    Args:
        description: The module's docstring.
        work: Folder of the runs by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--from", dest="figures", type=Path, help="figures to write the page from; nothing is measured")
    parser.add_argument("--work", type=Path, default=Path(work), help="folder of the runs")
    return parser


def make_page(
    arguments: argparse.Namespace, measure: Callable[[], dict[str, Any]], page: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    """Measures on one thread unless there are figures; writes both, prints the page, and gives the figures."""
    if arguments.figures is not None:
        content: dict[str, Any] = json.loads(arguments.figures.read_text(encoding="utf-8"))
    else:
        torch.set_num_threads(1)
        prepare_process()
        content = measure()
    publish(arguments, content, page)
    return content


def publish(arguments: argparse.Namespace, content: dict[str, Any], page: Callable[[dict[str, Any]], str]) -> None:
    """Writes figures and page where ``--json`` and ``--page`` say, and prints the page."""
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    text = page(content)
    if arguments.page:
        arguments.page.write_text(text, encoding="utf-8")
    print(text)
