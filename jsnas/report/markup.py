"""HTML and SVG as values: what is no markup is escaped, so a text from a run folder can never become a tag."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jsnas.report.svg_style import escape

_VOID = ("meta", "link", "img", "input", "br")  # tags of HTML that have no end
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


class Html(str):
    """Markup; every other string is text."""

    __slots__ = ()


Child = str | int | Iterable["Child"] | None
Attribute = str | float | bool | None


def text(content: str) -> Html:
    """Text as markup; control characters, and those that change the direction of writing, become U+FFFD."""
    return content if isinstance(content, Html) else Html(escape(content))


def join(children: Iterable[Child], between: str = "") -> Html:
    """Children one after the other, ``between`` (text) between them; None is left out."""
    return Html(text(between).join(_child(child) for child in children if child is not None))


def el(name: str, *children: Child, **attributes: Attribute) -> Html:
    """An element.

    Args:
        name: The tag.
        *children: Text, numbers, markup, or iterables of them.
        **attributes: ``class_`` is the attribute ``class`` and ``aria_label`` is ``aria-label``; None and False are
            left out, True is written without a value.
    """
    words = [name]
    for key, value in attributes.items():
        attribute = key.removesuffix("_").replace("_", "-")
        if not _NAME.fullmatch(attribute):
            raise ValueError(f"{attribute!r} is no attribute")
        if value is None or value is False:
            continue
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        words.append(attribute if value is True else f'{attribute}="{escape(shown)}"')
    start = f"<{' '.join(words)}>"
    return Html(start if name in _VOID else f"{start}{join(children)}</{name}>")


def _child(child: Child) -> Html:
    if isinstance(child, str):
        return text(child)
    if isinstance(child, int):
        return text(f"{child:,}")
    return join(child or ())
