"""Draws one joint search module at a given place of an SVG: the panels, graphs and flows of the paper's Fig. 2a."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from jsnas.genotype import Edge, Genotype
from jsnas.report.graph_layout import EdgeShape, GraphLayout, layout_graph
from jsnas.report.svg_shapes import (
    MINUS,
    TIMES,
    UPRIGHT,
    arrow,
    badge,
    block,
    head,
    line,
    plus_sign,
    ring,
    symbol,
    text,
)
from jsnas.report.svg_style import candidate_colors, clean, escape, shorten, text_width

PARTS = ("operations", "attentions")
NOUNS = {"operations": "operation", "attentions": "attention"}
NAME_LENGTH = 28  # longer names are shortened on the label; the tooltip keeps up to 200 characters
_NAME_SIZE, _EDGE_SIZE = 17.0, 13.0
_LABEL_HEIGHT = 44.0
_TINTS = {"operations": ("green", "#edf6e8", "#7fae68"), "attentions": ("red", "#fceeec", "#d69089")}


@dataclass(frozen=True)
class ModuleInputs:
    """What one module is drawn from.

    Attributes:
        genotype: The architecture.
        confidence: Part -> edge -> probability of the chosen candidate, 0 to 1.
        marks: Part -> edge -> sign of a difference, ``"≠"`` or ``"+"``.
        label_width: Part -> least room for a label, to align two modules.
    """

    genotype: Genotype
    confidence: Mapping[str, Mapping[Edge, float]] = field(default_factory=dict)
    marks: Mapping[str, Mapping[Edge, str]] = field(default_factory=dict)
    label_width: Mapping[str, float] = field(default_factory=dict)


def label_widths(genotype: Genotype, confidence: Mapping[str, Mapping[Edge, float]]) -> dict[str, float]:
    """Width of each part's widest edge label."""
    widths = dict.fromkeys(PARTS, 0.0)
    for part in PARTS:
        for edge, name in getattr(genotype, part):
            widths[part] = max(widths[part], _pill_width(edge, name, edge in confidence.get(part, {})))
    return widths


def draw_module(inputs: ModuleInputs, x: float, y: float) -> tuple[str, float, float]:
    """Markup, width and height of the module whose top left corner is (x, y)."""
    genotype, out = inputs.genotype, list[str]()
    widths = label_widths(genotype, inputs.confidence)
    graphs: dict[str, GraphLayout] = {}
    for part, nodes in (("operations", genotype.operation_nodes), ("attentions", genotype.attention_nodes)):
        if nodes:
            edges = [edge for edge, _ in getattr(genotype, part)]
            graphs[part] = layout_graph(nodes, edges, max(widths[part], inputs.label_width.get(part, 0)), _LABEL_HEIGHT)
    listed = genotype.operation_nodes * 11 if genotype.operations else 0  # half the height of the list S0, S1, ...
    above = max(UPRIGHT[1] / 2, listed, *(graph.above for graph in graphs.values()))
    below = max(UPRIGHT[1] / 2, listed, *(graph.below for graph in graphs.values()))
    axis = y + 48 + above
    top, bottom = y, axis + below + 22
    branch, cursor = x + 30.0, x + 64.0
    out.append(symbol(x + 27, axis - 15, "I", f"m{MINUS}1"))
    panels: list[str] = []

    start = cursor
    if "operations" in graphs:
        flow, cursor = _operation_flow(inputs, graphs["operations"], x, start, axis)
        heading = "Operation block"
    else:
        flow, cursor = _residual_flow(x, start, axis)
        heading = "Residual block"
    panels.append(_panel("operations", heading, start, top, cursor - start, bottom - top))
    out.append(flow)
    last = cursor - 20  # right side of the block that the flow leaves from
    if "attentions" in graphs:
        graph, start = graphs["attentions"], cursor + 40
        node0 = start + 40
        out.append(arrow(last, node0, axis))
        out.append(symbol((cursor + start) / 2, axis - 15, "F", "0"))
        out.append(_graph("attentions", inputs, graph, node0, axis))
        last = node0 + graph.width
        cursor = last + 24
        panels.append(_panel("attentions", "Attention block", start, top, cursor - start, bottom - top))
    total = cursor + 40
    low = bottom + 26
    out.append(arrow(last, total - 15, axis))
    detour = (
        f"M{branch:.1f} {axis:.1f}L{branch:.1f} {low - 12:.1f}"
        f"C{branch:.1f} {low - 4:.1f} {branch + 4:.1f} {low:.1f} {branch + 12:.1f} {low:.1f}L{total - 12:.1f} {low:.1f}"
        f"C{total - 4:.1f} {low:.1f} {total:.1f} {low - 4:.1f} {total:.1f} {low - 12:.1f}L{total:.1f} {axis + 23:.1f}"
    )
    out.append(line(detour))
    out.append(head((total, axis + 15), (0, -1), 2))
    out.append(f'<circle class="jsm-line jsm-tip" cx="{branch:.1f}" cy="{axis:.1f}" r="3.5" fill="#1b1f23"/>')
    out.append(plus_sign(total, axis, 15))
    out.append(arrow(total + 15, total + 66, axis))
    out.append(symbol(total + 42, axis - 15, "I", "m"))
    return "".join(panels + out), total + 70 - x, low + 4 - y


def _operation_flow(inputs: ModuleInputs, graph: GraphLayout, x: float, start: float, axis: float) -> tuple[str, float]:
    """Eq. 3, 4 and 7: 1x1 convolution, graph, concatenation, 1x1 convolution; and the panel's right side."""
    nodes = len(graph.centres)
    conv = start + 20
    node0 = conv + UPRIGHT[0] + 46
    list_x = node0 + graph.width + 36
    center = list_x + 82.0
    out = [arrow(x, conv, axis), block(conv, axis, f"1{TIMES}1 conv", upright=True)]
    out += [arrow(conv + UPRIGHT[0], node0, axis), symbol(conv + UPRIGHT[0] + 22, axis - 15, "S", "0")]
    out.append(_graph("operations", inputs, graph, node0, axis))
    for node in range(nodes):
        offset = node - (nodes - 1) / 2
        height = axis + offset * 22
        angle = math.radians(offset * min(34.0, 130.0 / nodes))
        inward = (math.cos(angle), -math.sin(angle))
        tip = (center - 21 * inward[0], axis - 21 * inward[1])
        base, turn = ((tip[0] - k * inward[0], tip[1] - k * inward[1]) for k in (7, 26))
        out.append(symbol(list_x, height + 5, "S", str(node), 16))
        out.append(
            line(
                f"M{list_x + 17:.1f} {height:.1f}C{list_x + 32:.1f} {height:.1f} {turn[0]:.1f} {turn[1]:.1f} "
                f"{base[0]:.1f} {base[1]:.1f}",
                1.4,
            )
        )
        out.append(head(tip, inward, 0.6))
    out.append(ring(center, axis, 20, 2))
    out.append(text(center, axis + 7, "C", 20, extra='font-weight="700"'))
    out.append(arrow(center + 20, center + 50, axis))
    out.append(block(center + 50, axis, f"1{TIMES}1 conv", upright=True))
    return "".join(out), center + 50 + UPRIGHT[0] + 20


def _residual_flow(x: float, start: float, axis: float) -> tuple[str, float]:
    """The residual block of the paper's Tables 3 and 4, which stands where no operations are searched."""
    out, left, cursor = [], x, start + 28
    for name in (f"3{TIMES}3 conv", "ReLU", f"3{TIMES}3 conv"):
        width = text_width(name, 16) + 28
        out += [arrow(left, cursor, axis), block(cursor, axis, name)]
        left, cursor = cursor + width, cursor + width + 40
    return "".join(out), left + 20


def _graph(part: str, inputs: ModuleInputs, graph: GraphLayout, x: float, y: float) -> str:
    """Edges, then nodes over their ends."""
    chosen: tuple[tuple[Edge, str], ...] = getattr(inputs.genotype, part)
    rows = [_edge(part, edge, name, graph.edges[edge].shifted(x, y), inputs) for edge, name in chosen]
    half = graph.node_size / 2
    for node, center in enumerate(graph.centres):
        rows.append(
            f'<rect class="jsm-node" x="{x + center - half:.1f}" y="{y - half:.1f}" width="{graph.node_size:.1f}" '
            f'height="{graph.node_size:.1f}" rx="9" fill="#ffffff" stroke="#1b1f23" stroke-width="2"/>'
        )
        rows.append(text(x + center, y + 8, str(node), 24))
    count = f"{len(graph.centres)} nodes, {len(chosen)} edges"
    return f'<g class="jsm-{part}" role="group" aria-label="{NOUNS[part].title()} graph: {count}">{"".join(rows)}</g>'


def _edge(part: str, edge: Edge, name: str, shape: EdgeShape, inputs: ModuleInputs) -> str:
    """Line, arrow's head and label of one edge."""
    probability = inputs.confidence.get(part, {}).get(edge)
    mark = inputs.marks.get(part, {}).get(edge)
    stroke = 2.4 if probability is None else 1.0 + 3.4 * probability
    light, dark = candidate_colors(name)
    words = f"{NOUNS[part]} {edge[0]} to {edge[1]}: {shorten(name, 200)}"
    words += "" if probability is None else f", probability {probability:.1%}"
    words += {"≠": ", another candidate in the other genotype", "+": ", no such edge in the other genotype"}.get(
        mark or "", ""
    )
    dashes = ' stroke-dasharray="7 4"' if name in ("skip", "none") else ""
    path = shape.path(5 + stroke)
    tint, tint_color, _ = _TINTS[part]
    width = _pill_width(edge, name, probability is not None)
    (cx, cy), right = shape.label, shape.label[0] + width / 2
    shown = f"{edge[0]}→{edge[1]}"
    out = [
        f'<path class="jsm-halo-{tint}" d="{path}" fill="none" stroke="{tint_color}" stroke-width="{stroke + 5:.2f}"/>',
        f'<path class="jsm-flow" d="{path}" fill="none" stroke="{light}" stroke-width="{stroke:.2f}"{dashes}/>',
        head(shape.end, shape.direction, stroke, "jsm-head", light),
        f'<rect class="jsm-pill" x="{cx - width / 2:.1f}" y="{cy - _LABEL_HEIGHT / 2:.1f}" width="{width:.1f}" '
        f'height="{_LABEL_HEIGHT:g}" rx="10" fill="#ffffff" stroke="{light}" stroke-width="{3 if mark else 1.6}"/>',
    ]
    # In this order the text alone reads "0→1 rdb_common 97%"; a space of its own place shifts no neighbour.
    place = f'x="{cx:.1f}"' if probability is None else f'x="{cx - width / 2 + 10:.1f}" text-anchor="start"'
    label = (
        f'<tspan class="jsm-soft jsm-where" {place} y="{cy - 5:.1f}" '
        f'font-size="{_EDGE_SIZE:g}" fill="#57606a">{shown}</tspan>'
        f'<tspan x="{cx:.1f}" y="{cy + 14:.1f}"> </tspan>'
        f'<tspan class="jsm-name" x="{cx:.1f}" y="{cy + 14:.1f}">{escape(shorten(name, NAME_LENGTH))}</tspan>'
    )
    if probability is not None:
        label += (
            f'<tspan x="{cx:.1f}" y="{cy + 14:.1f}"> </tspan>'
            f'<tspan class="jsm-soft" x="{right - 10:.1f}" y="{cy - 5:.1f}" text-anchor="end" '
            f'font-size="{_EDGE_SIZE:g}" fill="#57606a">{probability:.0%}</tspan>'
        )
    out.append(text(cx, cy + 14, label, _NAME_SIZE, extra='class="jsm-label" xml:space="preserve"'))
    if mark:
        out.append(badge(right - 2, cy - _LABEL_HEIGHT / 2 + 1, mark))
    title = escape(words)
    return (
        f'<g class="jsm-edge jsm-hue" role="graphics-symbol img" aria-label="{title}" '
        f'style="--jsm-light:{light};--jsm-dark:{dark}"><title>{title}</title>{"".join(out)}</g>'
    )


def _pill_width(edge: Edge, name: str, with_probability: bool) -> float:
    where = text_width(f"{edge[0]}→{edge[1]}", _EDGE_SIZE) + (
        text_width("100%", _EDGE_SIZE) + 10 if with_probability else 0
    )
    return 20 + max(where, text_width(clean(shorten(name, NAME_LENGTH)), _NAME_SIZE))


def _panel(part: str, heading: str, x: float, y: float, width: float, height: float) -> str:
    tint, fill, rim = _TINTS[part]
    return (
        f'<rect class="jsm-{tint}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="16" '
        f'fill="{fill}" stroke="{rim}" stroke-width="1.5" stroke-dasharray="8 5"/>'
        + text(x + width / 2, y + 29, heading, 19, extra='font-weight="500"')
    )
