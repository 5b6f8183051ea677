"""Tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jsnas.report.markup import Child, Html, el
from jsnas.report.svg_style import shorten

_MOST_ROWS, _LONGEST = 400, 600


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], caption: str, numbers: int = 99) -> Html:
    """A table whose first column heads its rows.

    Args:
        head: Names of the columns.
        rows: The rows; from the second column on they are figures.
        caption: What it shows, for everybody.
        numbers: Columns after the first that are figures, and stand at the right.
    """
    body = [
        el("tr", el("th", row[0], scope="row"), [
            el("td", cell, class_="n" if k < numbers else None) for k, cell in enumerate(row[1:])
        ])
        for row in rows
    ]  # fmt: skip
    heads = [el("th", name, scope="col", class_="n" if 1 <= k <= numbers else None) for k, name in enumerate(head)]
    whole = el("table", el("caption", caption), el("thead", el("tr", heads)), el("tbody", body))
    return el("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def folded(summary: str, *content: Child) -> Html:
    """Content that unfolds at a click."""
    return el("details", el("summary", summary), *content)


def pairs(content: Any, caption: str) -> Html:
    """A nested mapping as a table of dotted names and values."""
    rows: list[tuple[str, Html]] = []
    _flatten("", content, rows, 0)
    shown = [(name, value) for name, value in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        shown.append(("…", el("span", f"{len(rows) - _MOST_ROWS} more are left out")))
    return table(("name", "value"), shown, caption, 0)


def value(content: object) -> Html:
    """A single value as code."""
    shown = "null" if content is None else str(content).lower() if isinstance(content, bool) else str(content)
    return el("code", shorten(shown, _LONGEST))


def _flatten(prefix: str, content: Any, rows: list[tuple[str, Html]], depth: int) -> None:
    if len(rows) > 4 * _MOST_ROWS:
        return
    if isinstance(content, dict) and content and depth < 8:
        for key, inner in content.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, rows, depth + 1)
    elif isinstance(content, list):
        rows.append((prefix, value(", ".join(str(item) for item in content[:60]) or "(none)")))
    else:
        rows.append((prefix, value(content if not isinstance(content, dict) else "(none)")))
