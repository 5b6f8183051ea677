"""Genotypes as pictures: the joint search module in the manner of the paper's Fig. 2a and 5, as SVG text.

A picture needs nothing outside itself, follows the reader's light or dark theme, prints in light colours,
and says the whole genotype in words to screen readers. It can be read back: :func:`read_genotype`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from jsnas.errors import InputError, unknown_name
from jsnas.genotype import Edge, Genotype, edge_list, edge_name
from jsnas.report.module_drawing import NOUNS, PARTS, ModuleInputs, draw_module, label_widths
from jsnas.report.svg_shapes import TIMES, badge, line, plus_sign, ring, text
from jsnas.report.svg_style import escape, shorten, style_sheet, text_width

MAX_NODES = 12
_TASKS = {"sr": "super-resolution", "denoise": "denoising", "deblock": "JPEG deblocking"}
_WITHOUT = {
    "operations": f"A residual block (3{TIMES}3 conv, ReLU, 3{TIMES}3 conv) stands for the operations.",
    "attentions": "No attentions.",
}
_MARGIN = 28.0
_SVG = "{http://www.w3.org/2000/svg}"


def draw_genotype(
    genotype: Genotype, confidence: Mapping[str, Mapping[str, float]] | None = None, title: str | None = None
) -> str:
    """The joint search module of a genotype as a self-contained SVG.

    No operations are drawn as the residual block that stands for them, no attentions as nothing.

    Args:
        genotype: What to draw, up to 12 nodes a graph.
        confidence: ``{"operations": {"0>1": 0.97}, "attentions": {...}}``: probability (0 to 1) that the search
            gave to the candidate it chose; written on the edge and shown by the width of its line.
        title: Heading; "Joint search module" if left out.

    Raises:
        InputError: If a graph has too many nodes, or a confidence is outside 0 to 1 or of no edge kept.
    """
    _check_size(genotype)
    probabilities = _check_confidence(genotype, confidence or {})
    inputs = ModuleInputs(genotype, probabilities)
    words = f"{_describe(genotype)} The module's input is added to its output."
    return _picture(title or "Joint search module", words, [("", inputs)])


def draw_comparison(
    left: Genotype,
    right: Genotype,
    names: tuple[str, str] = ("Genotype A", "Genotype B"),
    title: str | None = None,
) -> str:
    """Two genotypes one under the other, edges that differ marked by a sign: ``≠`` other candidate, ``+`` only here.

    Args:
        left: The one drawn above.
        right: The one drawn below.
        names: What to call the two.
        title: Heading; "Comparison of two genotypes" if left out.

    Raises:
        InputError: If a graph has more than 12 nodes.
    """
    marks: tuple[dict[str, dict[Edge, str]], ...] = ({}, {})
    differing: list[str] = []
    total = 0
    for part in PARTS:
        a, b = dict[Edge, str](getattr(left, part)), dict[Edge, str](getattr(right, part))
        edges = sorted(a.keys() | b.keys(), key=lambda edge: (edge[1], edge[0]))
        total += len(edges)
        for edge in edges:
            if a.get(edge) != b.get(edge):
                differing.append(f"{NOUNS[part]} {edge[0]}→{edge[1]}")
                for own, other, marked in ((a, b, marks[0]), (b, a, marks[1])):
                    if edge in own:
                        marked.setdefault(part, {})[edge] = "≠" if edge in other else "+"
    summary = f"{len(differing)} of {total} edges differ" + (f": {', '.join(differing)}." if differing else ".")
    for genotype in (left, right):
        _check_size(genotype)
    widths = [label_widths(genotype, {}) for genotype in (left, right)]
    room = {part: max(width[part] for width in widths) for part in PARTS}
    words = f"{summary} {names[0]}: {_describe(left)} {names[1]}: {_describe(right)}"
    modules = [
        (f"{name} ", ModuleInputs(g, marks=m, label_width=room))
        for name, g, m in zip(names, (left, right), marks, strict=True)
    ]
    return _picture(title or "Comparison of two genotypes", words, modules, summary)


def read_genotype(svg: str, index: int = 0, from_labels: bool = False) -> Genotype:
    """The genotype that a picture shows.

    Args:
        svg: A picture made by :func:`draw_genotype` or :func:`draw_comparison`.
        index: 0 for the only or the upper genotype, 1 for the lower.
        from_labels: Read the words that a reader sees (long names are shortened there) instead of the exact copy
            in the picture's metadata.

    Raises:
        InputError: If the text is no such picture.
    """
    if "<!" in svg:  # neither comments nor entities, which can blow up a small file, are ever drawn
        raise InputError(
            "The picture holds a document type or comment, which jsnas never writes; give its SVG unchanged."
        )
    try:
        root = ElementTree.fromstring(svg)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"The text is no SVG ({error}); give a picture drawn by jsnas.") from error
    modules = _of_class(root, "g", "jsm-module")
    if not 0 <= index < len(modules):
        raise InputError(f"The picture holds {len(modules)} genotypes, but number {index} was asked for; count from 0.")
    module = modules[index]
    if not from_labels:
        try:
            return Genotype.from_dict(json.loads(_of_class(module, "metadata", "jsm-genotype")[0].text or ""))
        except (IndexError, ValueError, RecursionError) as error:
            raise InputError(f"The picture's metadata hold no genotype ({error}); draw it again.") from error
    caption = "".join("".join(tspan.itertext()) for tspan in _of_class(module, "tspan", "jsm-task"))
    found = re.fullmatch(rf"Task (\w+) .*?(?:, scale {TIMES}(\d))?", caption)
    if found is None:
        raise InputError(f"The picture's caption '{caption}' names no task; draw it again.")
    parts = [
        {
            "".join(where.itertext()).strip().replace("→", ">"): "".join(name.itertext())
            for graph in _of_class(module, "g", f"jsm-{part}")
            for where, name in zip(
                _of_class(graph, "tspan", "jsm-where"), _of_class(graph, "tspan", "jsm-name"), strict=True
            )
        }
        for part in PARTS
    ]
    return Genotype.from_edges(found[1], parts[0], parts[1], int(found[2]) if found[2] else None)


def _of_class(element: ElementTree.Element, tag: str, name: str) -> list[ElementTree.Element]:
    return [found for found in element.iter(_SVG + tag) if name in found.get("class", "").split()]


def _check_size(genotype: Genotype) -> None:
    nodes = max(genotype.operation_nodes, genotype.attention_nodes)
    if nodes > MAX_NODES:
        raise InputError(f"The genotype has a graph of {nodes} nodes; pictures are drawn for up to {MAX_NODES}.")


def _check_confidence(genotype: Genotype, given: Mapping[str, Mapping[str, float]]) -> dict[str, dict[Edge, float]]:
    checked: dict[str, dict[Edge, float]] = {}
    for part, values in given.items():
        if part not in PARTS:
            raise unknown_name("part in the confidences", part, PARTS)
        kept = {edge_name(edge): edge for edge, _ in getattr(genotype, part)}
        for name, value in values.items():
            if name not in kept:
                raise unknown_name(f"edge in the confidences of the {part}", name, kept)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise InputError(
                    f"The confidence of {NOUNS[part]} '{name}' is {value}; give a probability from 0 to 1."
                )
            checked.setdefault(part, {})[kept[name]] = value
    return checked


def _task_words(genotype: Genotype) -> str:
    scale = (
        ""
        if genotype.task != "sr"
        else ", all scales"
        if genotype.scale is None
        else f", scale {TIMES}{genotype.scale}"
    )
    return f"Task {genotype.task} ({_TASKS[genotype.task]}){scale}"


def _describe(genotype: Genotype) -> str:
    """The whole genotype in words."""
    sentences = [f"{_task_words(genotype)}."]
    for part, nodes in (("operations", genotype.operation_nodes), ("attentions", genotype.attention_nodes)):
        chosen = dict[Edge, str](getattr(genotype, part))
        if not chosen:
            sentences.append(_WITHOUT[part])
            continue
        edges = ", ".join(f"{i}→{j} {shorten(name, 200)}" for (i, j), name in chosen.items())
        pruned = ", ".join(f"{i}→{j}" for i, j in edge_list(nodes) if (i, j) not in chosen)
        sentences.append(
            f"{NOUNS[part].title()} graph of {nodes} nodes: {edges}{f'; pruned: {pruned}' if pruned else ''}."
        )
    return " ".join(sentences)


def _picture(title: str, words: str, modules: list[tuple[str, ModuleInputs]], summary: str = "") -> str:
    """The whole SVG: heading, one caption and drawing a module, key."""
    body: list[str] = []
    y = 42.0 + (30 if summary else 0)
    width = 620.0
    for name, inputs in modules:
        # The exact genotype; ASCII, so that any name survives in XML.
        exact = json.dumps(inputs.genotype.to_dict(), separators=(",", ":"))
        caption = f'<tspan class="jsm-soft jsm-task">{_task_words(inputs.genotype)}</tspan>'
        if name:
            caption = f'<tspan font-weight="700">{escape(shorten(name, 60))}</tspan> {caption}'
        y += 26
        line = text(_MARGIN, y, caption, 16, "start")
        drawn, module_width, height = draw_module(inputs, _MARGIN, y + 22)
        body.append(
            f'<g class="jsm-module" role="group" aria-label="{escape(_task_words(inputs.genotype))}">'
            f'<metadata class="jsm-genotype">{escape(exact)}</metadata>{line}{drawn}</g>'
        )
        y += 22 + height + 14
        width = max(width, module_width)
    key, y = _key([inputs for _, inputs in modules], y + 18, width)
    room = int(width / text_width("a", 24))
    top = [text(_MARGIN, 42, escape(shorten(title, room)), 24, "start", 'font-weight="600"')]
    if summary:
        top.append(text(_MARGIN, 68, escape(_fit(summary, width)), 16, "start"))
    identity = "jsm-" + hashlib.sha256((title + words).encode("utf-8", "surrogatepass")).hexdigest()[:10]
    box = (round(width + 2 * _MARGIN), round(y + 22))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="jsm" role="graphics-document document" '
        f'viewBox="0 0 {box[0]} {box[1]}" width="{box[0]}" height="{box[1]}" style="max-width:100%;height:auto" '
        f'aria-labelledby="{identity}-title" aria-describedby="{identity}-desc">'
        f'<title id="{identity}-title">{escape(shorten(title, 200))}</title>'
        f'<desc id="{identity}-desc">{escape(words)}</desc>'
        f'{style_sheet()}<rect class="jsm-paper" width="{box[0]}" height="{box[1]}" fill="#ffffff"/>'
        f"{''.join(top + body)}{key}</svg>\n"
    )


def _fit(summary: str, width: float) -> str:
    """The summary, without its list of edges where that would not fit on a line."""
    return summary if text_width(summary, 16) <= width else summary.partition(":")[0] + "."


def _key(modules: Iterable[ModuleInputs], y: float, width: float) -> tuple[str, float]:
    """Signs that appear in the picture and what they mean, in as many lines as they need; and the last line's y."""
    modules = list(modules)
    names = {name for m in modules for part in PARTS for _, name in getattr(m.genotype, part)}
    marks = {sign for m in modules for signs in m.marks.values() for sign in signs.values()}
    entries = [("C", "Channel concatenation")] if any(m.genotype.operations for m in modules) else []
    entries.append(("⊕", "Element-wise sum"))
    entries += [("dashes", "Identity (skip)")] if "skip" in names else []
    entries += (
        [("width", "Line width, %: probability of the choice")]
        if any(any(m.confidence.values()) for m in modules)
        else []
    )
    entries += [
        (sign, words)
        for sign, words in (("≠", "Other candidate"), ("+", "Edge only in this genotype"))
        if sign in marks
    ]
    out, x = [], _MARGIN
    for sign, words in entries:
        room = 36 + text_width(words, 15)
        if x > _MARGIN and x + room > _MARGIN + width:
            x, y = _MARGIN, y + 28
        middle = x + 13
        if sign == "C":
            out += [ring(middle, y, 10, 1.6), text(middle, y + 4.5, "C", 12, extra='font-weight="700"')]
        elif sign == "⊕":
            out.append(plus_sign(middle, y, 9))
        elif sign in ("dashes", "width"):
            look = (2.4, 'stroke-dasharray="7 4"') if sign == "dashes" else (4.4, "")
            out.append(line(f"M{x:.1f} {y:.1f}L{x + 26:.1f} {y:.1f}", *look))
        else:
            out.append(badge(middle, y, sign))
        out.append(text(x + 34, y + 5, words, 15, "start"))
        x += room + 26
    return f"<g>{''.join(out)}</g>", y
