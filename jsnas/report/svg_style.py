"""Colours, text and style sheet of the drawn genotypes: light, dark and print, self-contained.

Every rule first gives the light colour itself, then the custom property: programs that know no custom
properties (older vector editors) still show the light picture. Print is always light.
"""

from __future__ import annotations

import colorsys
import hashlib
import html
import unicodedata

# name: (light, dark). Contrast of text is above 4.5:1, of lines above 3:1, on both panels and both themes.
_TOKENS = {
    "paper": ("#ffffff", "#14171a"),
    "ink": ("#1b1f23", "#e8eaed"),
    "muted": ("#57606a", "#a9b3be"),
    "node": ("#ffffff", "#262c33"),
    "pill": ("#ffffff", "#1b2026"),
    "green": ("#edf6e8", "#16221a"),
    "green-rim": ("#7fae68", "#557f4b"),
    "red": ("#fceeec", "#291a1b"),
    "red-rim": ("#d69089", "#96605c"),
    "mark": ("#ffdf7e", "#f2c744"),
    "on-mark": ("#1b1f23", "#14171a"),
}

_CANDIDATES = {
    "none": ("#6e7781", "#9aa4af"),
    "skip": ("#59636e", "#b3bdc8"),
    "rdb_common": ("#1f6feb", "#6cb0ff"),
    "rdb_sep": ("#8250df", "#bf97ff"),
    "rdb_dil": ("#a8325e", "#f58bb0"),
    "rdb_light": ("#b35900", "#f7a34f"),
    "rdb_shallow": ("#0b7d69", "#4cc9b0"),
    "ca": ("#8250df", "#bf97ff"),
    "cca": ("#a8328f", "#ee8fdc"),
    "pa": ("#8a6100", "#e0b33c"),
    "cea": ("#0969a8", "#62b8f0"),
    "sa": ("#2c7a3f", "#6cc982"),
    "esa": ("#c2321f", "#ff8f7d"),
}


def candidate_colors(name: str) -> tuple[str, str]:
    """Light and dark colour of a candidate as ``#rrggbb``; a plug-in's follows from its name and never changes."""
    if name in _CANDIDATES:
        return _CANDIDATES[name]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    hue = int.from_bytes(digest[:2], "big") / 65536
    light, dark = colorsys.hls_to_rgb(hue, 0.30, 0.65), colorsys.hls_to_rgb(hue, 0.74, 0.65)
    return _hex(light), _hex(dark)


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)


def clean(text: str) -> str:
    """Text safe to show and legal in XML: control, direction-changing and unassigned characters become U+FFFD."""
    bad = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "".join("\ufffd" if unicodedata.category(character) in bad else character for character in text)


def escape(text: str) -> str:
    """:func:`clean` text for XML content and quoted attributes."""
    return html.escape(clean(text), quote=True)


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters, the middle given up for an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 8]}…{text[-7:]}"


def text_width(text: str, size: float) -> float:
    """Room for a text of font size ``size`` in any sans-serif font: 0.6 em a character, wide ones up to 1 em."""
    ems = 0.0
    for character in text:
        wide = unicodedata.east_asian_width(character) in "WF" or character in "mwMW@%&<>+=~…\ufffd≠"
        ems += 1.0 if wide else 0.75 if character.isupper() else 0.6
    return ems * size


def _paint(selector: str, **paints: str) -> str:
    rules = (f"{name}:{_TOKENS[token][0]};{name}:var(--jsm-{token})" for name, token in paints.items())
    return f".jsm {selector}{{{';'.join(rules)}}}"


def style_sheet() -> str:
    """The ``<style>`` element; every selector starts with ``.jsm``, so that it touches nothing else in a page."""
    light, dark = (";".join(f"--jsm-{name}:{pair[k]}" for name, pair in _TOKENS.items()) for k in (0, 1))
    rules = [
        f".jsm{{{light};font-family:system-ui,sans-serif;print-color-adjust:exact;-webkit-print-color-adjust:exact}}",
        ".jsm .jsm-hue{--jsm-hue:var(--jsm-light)}",
        f"@media screen and (prefers-color-scheme:dark){{.jsm{{{dark}}}.jsm .jsm-hue{{--jsm-hue:var(--jsm-dark)}}}}",
        ".jsm .jsm-flow,.jsm .jsm-pill{stroke:var(--jsm-hue)}.jsm .jsm-head{fill:var(--jsm-hue)}",
        ".jsm path,.jsm circle{fill:none}",
        _paint(".jsm-paper", fill="paper"),
        _paint("text", fill="ink"),
        _paint(".jsm-soft", fill="muted"),
        _paint(".jsm-line", stroke="ink"),
        _paint(".jsm-tip", fill="ink"),
        _paint(".jsm-node", fill="node", stroke="ink"),
        _paint(".jsm-pill", fill="pill"),
        _paint(".jsm-green", fill="green", stroke="green-rim"),
        _paint(".jsm-red", fill="red", stroke="red-rim"),
        _paint(".jsm-halo-green", stroke="green"),
        _paint(".jsm-halo-red", stroke="red"),
        _paint(".jsm-mark", fill="mark", stroke="on-mark"),
        _paint(".jsm-on-mark", fill="on-mark"),
    ]
    return f"<style>{''.join(rules)}</style>"
