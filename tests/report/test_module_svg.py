from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jsnas.attentions import ATTENTIONS
from jsnas.errors import InputError
from jsnas.genotype import Genotype, edge_list, edge_name
from jsnas.operations import OPERATIONS
from jsnas.report.graph_layout import assign_sides, layout_graph
from jsnas.report.module_svg import draw_comparison, draw_genotype, read_genotype
from jsnas.report.svg_style import candidate_colors

SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]  # left, top, right, bottom


def full_genotype(nodes: int, attention_nodes: int, operation: str, attention: str) -> Genotype:
    operations = [operation] * len(edge_list(nodes))
    return Genotype.from_names("sr", operations, [attention] * len(edge_list(attention_nodes)), 4)


def elements(svg: str, tag: str, name: str | None = None) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(svg).iter(SVG + tag)
    return [element for element in found if name is None or name in element.get("class", "").split()]


def rect_box(rect: ElementTree.Element) -> Box:
    x, y, width, height = (float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def text_boxes(text: ElementTree.Element) -> list[Box]:
    """Boxes of a text's lines at 0.6 em a character; a tspan with an x of its own starts a new line."""
    chunks: list[tuple[ElementTree.Element, str]] = [(text, text.text or "")]
    for tspan in text:
        if tspan.get("x") is None:
            chunks[-1] = (chunks[-1][0], chunks[-1][1] + "".join(tspan.itertext()))
        else:
            chunks.append((tspan, tspan.text or ""))
    boxes = []
    for element, words in chunks:
        x, y, size = (float(element.get(key, text.get(key, "0"))) for key in ("x", "y", "font-size"))
        width = 0.6 * size * len(words.strip())
        if not width:
            continue
        left = (
            x - width * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", text.get("text-anchor", ""))]
        )
        box = (left, y - 0.75 * size, left + width, y + 0.2 * size)
        if "rotate(-90" in text.get("transform", ""):
            middle = (box[1] + box[3]) / 2
            box = (x - 0.5 * size, middle - width / 2, x + 0.5 * size, middle + width / 2)
        boxes.append(box)
    return boxes


def overlap(a: Box, b: Box, margin: float = 0.0) -> bool:
    return a[0] < b[2] + margin and b[0] < a[2] + margin and a[1] < b[3] + margin and b[1] < a[3] + margin


def inside(inner: Box, outer: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def points(path: str) -> Iterator[tuple[float, float]]:
    """Points at most a few units apart along a path of M, L and C."""
    here = (0.0, 0.0)
    for command, values in re.findall(r"([MLC])([^MLCZ]*)", path):
        numbers = [float(value) for value in values.split()]
        targets = list(zip(numbers[::2], numbers[1::2], strict=True))
        corners = [here, *targets] if command == "C" else [here, here, targets[-1], targets[-1]]
        steps = 200 if command != "M" else 0
        for k in range(1, steps + 1):
            t = k / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            yield (
                sum(w * corner[0] for w, corner in zip(weights, corners, strict=True)),
                sum(w * corner[1] for w, corner in zip(weights, corners, strict=True)),
            )
        here = targets[-1]


def assert_nothing_collides(svg: str) -> None:
    pills = [rect_box(rect) for rect in elements(svg, "rect", "jsm-pill")]
    nodes = [rect_box(rect) for rect in elements(svg, "rect", "jsm-node")]
    for a, b in itertools.combinations(pills + nodes, 2):
        assert not overlap(a, b, 4)
    for text, pill in zip(elements(svg, "text", "jsm-label"), pills, strict=True):
        assert all(inside(box, pill) for box in text_boxes(text))
        lines = text_boxes(text)
        assert not any(overlap(a, b) for a, b in itertools.combinations(lines, 2))
    others = [box for text in elements(svg, "text") if text.get("class") != "jsm-label" for box in text_boxes(text)]
    free = [box for box in others if not any(inside(box, node) for node in nodes)]
    badges = [
        tuple(float(c.get(axis, "0")) + sign * float(c.get("r", "0")) for sign in (-1, 1) for axis in ("cx", "cy"))
        for c in elements(svg, "circle", "jsm-mark")
    ]
    for box in free:
        if not any(overlap(box, badge) for badge in badges):
            assert not any(overlap(box, other) for other in pills + nodes)
    assert not any(overlap(a, b) for a, b in itertools.combinations(free, 2))
    canvas = (0.0, 0.0, *(float(v) for v in ElementTree.fromstring(svg).get("viewBox", "").split()[2:]))
    assert all(inside(box, canvas) for box in others + pills + nodes)

    flows = [list(points(path.get("d", ""))) for path in elements(svg, "path", "jsm-flow")]
    black = [list(points(path.get("d", ""))) for path in elements(svg, "path", "jsm-line")]
    for index, line in enumerate(flows):
        for box in [*pills[:index], *pills[index + 1 :]]:
            assert not any(box[0] - 4 < x < box[2] + 4 and box[1] - 4 < y < box[3] + 4 for x, y in line)
    for line in flows + black:
        for box in nodes:
            assert not any(box[0] + 1 < x < box[2] - 1 and box[1] + 1 < y < box[3] - 1 for x, y in line)
    for line in black:
        for box in pills:
            assert not any(box[0] < x < box[2] and box[1] < y < box[3] for x, y in line)


@pytest.mark.parametrize("nodes", range(2, 8))
@pytest.mark.parametrize("name", ["rdb_shallow", "acme_frequency_attention_v2x", "x"])
def test_nothing_collides_in_full_graphs(nodes: int, name: str) -> None:
    assert_nothing_collides(draw_genotype(full_genotype(nodes, 9 - nodes, name, name)))


@pytest.mark.parametrize("nodes", [2, 4, 7])
def test_nothing_collides_with_confidences_and_marks(nodes: int) -> None:
    genotype = full_genotype(nodes, nodes, "rdb_shallow", "sa")
    sure = {edge_name(edge): 1.0 for edge in edge_list(nodes)}
    assert_nothing_collides(draw_genotype(genotype, {"operations": sure, "attentions": sure}, "A title " * 40))
    other = full_genotype(max(2, nodes - 1), nodes, "rdb_sep", "cca")
    assert_nothing_collides(draw_comparison(genotype, other, ("First " * 30, "Second"), "A title " * 40))


@st.composite
def genotypes(draw: st.DrawFn, names: st.SearchStrategy[str], nodes: int = 7) -> Genotype:
    parts = []
    for _ in range(2):
        size = draw(st.sampled_from([0, *range(2, nodes + 1)]))
        edges: dict[str, str] = {}
        for target in range(1, size):
            sources = draw(st.sets(st.integers(0, target - 1), min_size=1))
            edges |= {f"{source}>{target}": draw(names) for source in sources}
        parts.append(edges)
    task = draw(st.sampled_from(["sr", "denoise", "deblock"]))
    scale = draw(st.sampled_from([None, 2, 3, 4])) if task == "sr" else None
    return Genotype.from_edges(task, parts[0], parts[1], scale)


@given(genotypes(st.sampled_from([*OPERATIONS, *ATTENTIONS])))
@settings(max_examples=15)
def test_nothing_collides_in_pruned_graphs(genotype: Genotype) -> None:
    assert_nothing_collides(draw_genotype(genotype))


@given(genotypes(st.sampled_from([*OPERATIONS, *ATTENTIONS, "my block", "<b>&amp;\"'"])))
@settings(max_examples=40)
def test_blind_reader_gets_the_genotype_from_the_visible_words(genotype: Genotype) -> None:
    assert read_genotype(draw_genotype(genotype), from_labels=True) == genotype


@given(genotypes(st.text(max_size=60), nodes=3))
@settings(max_examples=100)
def test_any_genotype_survives_its_picture(genotype: Genotype) -> None:
    assert read_genotype(draw_genotype(genotype)) == genotype


def test_comparison_marks_other_candidates_and_edges_of_one_side() -> None:
    left = Genotype.load("jsnet-sr")
    content = left.to_dict()
    content["operations"]["0>2"] = "rdb_sep"
    del content["operations"]["1>3"]
    right = Genotype.from_dict(content)
    svg = draw_comparison(left, right)
    for index, genotype in enumerate((left, right)):
        assert read_genotype(svg, index) == read_genotype(svg, index, from_labels=True) == genotype
    signs = ["".join(text.itertext()) for text in elements(svg, "text", "jsm-on-mark")]
    assert signs[:3] == ["≠", "+", "≠"]  # 0>2 and 1>3 above, 0>2 below
    assert "2 of 12 edges differ: operation 0→2, operation 1→3." in "".join(elements(svg, "desc")[0].itertext())
    marked = [g.get("aria-label", "") for g in elements(svg, "g", "jsm-edge") if g.find(f"{SVG}circle") is not None]
    assert [words.partition(":")[0] for words in marked] == ["operation 0 to 2", "operation 1 to 3", "operation 0 to 2"]
    assert not elements(draw_comparison(left, left), "circle", "jsm-mark")


def test_words_for_screen_readers_hold_the_whole_genotype() -> None:
    genotype = Genotype.load("jsnet-sr")
    svg = draw_genotype(genotype, title="JSNet-SR")
    assert elements(svg, "title")[0].text == "JSNet-SR"
    words = elements(svg, "desc")[0].text or ""
    labels = ["".join(text.itertext()) for text in elements(svg, "text", "jsm-label")]
    assert labels[:3] == ["0→1 rdb_common", "0→2 rdb_light", "1→2 rdb_common"]
    assert len(labels) == 12
    assert all(label in words for label in labels)
    assert elements(svg, "g", "jsm-edge")[1].get("aria-label") == "operation 0 to 2: rdb_light"
    pruned = draw_genotype(Genotype.from_edges("sr", {"0>1": "skip", "1>2": "skip"}, {}))
    assert "pruned: 0→2" in (elements(pruned, "desc")[0].text or "")


def test_parts_that_are_missing() -> None:
    texts = ["".join(text.itertext()) for text in elements(draw_genotype(Genotype("denoise", (), ())), "text")]
    assert texts.count("3\u00d73 conv") == 2
    assert {"ReLU", "Residual block"} <= set(texts)
    assert not {"Attention block", "Operation block", "Channel concatenation"} & set(texts)
    assert_nothing_collides(draw_genotype(Genotype("denoise", (), ())))
    one_sided = draw_genotype(Genotype.from_edges("denoise", {}, {"0>1": "esa"}))
    texts = ["".join(text.itertext()) for text in elements(one_sided, "text")]
    assert {"Residual block", "Attention block"} <= set(texts)


def test_confidence_sets_the_line_width_and_is_written() -> None:
    genotype = Genotype.load("jsnet-sr")
    svg = draw_genotype(genotype, {"operations": {"0>1": 0.25, "0>2": 0.5, "1>2": 0.97}})
    widths = [float(path.get("stroke-width", "")) for path in elements(svg, "path", "jsm-flow")]
    assert widths[0] < widths[1] < widths[2]
    assert "".join(elements(svg, "text", "jsm-label")[2].itertext()) == "1→2 rdb_common 97%"
    assert read_genotype(svg, from_labels=True) == genotype


@pytest.mark.parametrize(
    ("confidence", "said"),
    [
        ({"operation": {}}, "operations"),
        ({"operations": {"0>4": 0.5}}, "0>4"),
        ({"attentions": {"0>1": 1.5}}, "from 0 to 1"),
        ({"attentions": {"0>1": float("nan")}}, "from 0 to 1"),
    ],
)
def test_bad_confidences_are_refused(confidence: dict[str, dict[str, float]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw_genotype(Genotype.load("jsnet-sr"), confidence)


def test_too_large_graphs_are_refused() -> None:
    chain = Genotype.from_edges("sr", {f"{i}>{i + 1}": "skip" for i in range(12)}, {})
    with pytest.raises(InputError, match="13 nodes"):
        draw_genotype(chain)
    with pytest.raises(InputError, match="13 nodes"):
        draw_comparison(chain, chain)


@pytest.mark.parametrize(
    "svg",
    ["", "<svg", "\x00", "<svg xmlns='http://www.w3.org/2000/svg'/>", '<!DOCTYPE svg [<!ENTITY a "b">]><svg/>'],
)
def test_what_is_no_picture_of_a_genotype_is_refused(svg: str) -> None:
    for from_labels in (False, True):
        with pytest.raises(InputError):
            read_genotype(svg, from_labels=from_labels)


def test_a_tampered_picture_is_refused() -> None:
    svg = draw_genotype(Genotype.load("jsnet-sr"))
    with pytest.raises(InputError):
        read_genotype(svg.replace("jsnas-genotype/1", "jsnas-genotype/9"))
    with pytest.raises(InputError):
        read_genotype(svg.replace("jsm-genotype", "other"))
    with pytest.raises(InputError):
        read_genotype(svg.replace("Task sr", "Tusk sr"), from_labels=True)
    with pytest.raises(InputError, match="number 1"):
        read_genotype(svg, 1)


def test_a_picture_needs_nothing_from_outside_and_runs_nothing() -> None:
    attack = '</text><script>alert(1)</script><image href="http://a.example/x"/>\x00\u202e'
    genotype = Genotype.from_edges("sr", {"0>1": attack}, {"0>1": '" onload="alert(1)'})
    svg = draw_genotype(genotype, title=attack)
    assert {element.tag for element in ElementTree.fromstring(svg).iter()} <= {
        f"{SVG}{tag}"
        for tag in ("svg", "title", "desc", "style", "metadata", "g", "rect", "circle", "path", "text", "tspan")
    }
    for element in ElementTree.fromstring(svg).iter():
        assert not any("href" in key or key.startswith("on") for key in element.attrib)
    style = "".join(elements(svg, "style")[0].itertext())
    assert not re.search(r"url\(|@import|@font-face|<|expression", style)
    assert "\x00" not in svg
    assert "\u202e" not in svg
    assert read_genotype(svg) == genotype


def luminance(color: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """WCAG 2.1 contrast ratio."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colors_are_legible_on_both_panels_in_both_themes() -> None:
    style = "".join(elements(draw_genotype(Genotype("sr", (), ())), "style")[0].itertext())
    names = [*OPERATIONS, *ATTENTIONS, *(f"plugin_{k}" for k in range(300))]
    themes = re.findall(r"--jsm-paper:[^}]*", style)
    assert len(themes) == 2
    for theme, rules in enumerate(themes):
        token = dict(re.findall(r"--jsm-([a-z-]+):(#[0-9a-f]{6})", rules))
        for ground in ("paper", "node", "pill", "green", "red"):
            assert contrast(token["ink"], token[ground]) >= 7
            assert contrast(token["muted"], token[ground]) >= 4.5
            assert all(contrast(candidate_colors(name)[theme], token[ground]) >= 3 for name in names)  # lines
        assert contrast(token["on-mark"], token["mark"]) >= 7


def test_dark_theme_is_for_screens_only() -> None:
    style = "".join(elements(draw_genotype(Genotype("sr", (), ())), "style")[0].itertext())
    assert re.findall(r"@media ([^{]*)\{", style) == ["screen and (prefers-color-scheme:dark)"]


def test_candidates_have_colors_of_their_own() -> None:
    for known in (OPERATIONS, ATTENTIONS):
        assert len({candidate_colors(name) for name in known}) == len(known)
    assert candidate_colors("acme_block") == ("#1b2d7e", "#92a2e8")  # the same in every process and version
    assert candidate_colors("acme_block") != candidate_colors("acme_blocks")


@pytest.mark.parametrize(("nodes", "crossings"), [(4, 0), (5, 1), (6, 3), (7, 9)])
def test_arcs_cross_as_seldom_as_possible(nodes: int, crossings: int) -> None:
    """Crossing numbers of complete graphs: Guy's formula, which two-page drawings reach (Abrego et al., 2013)."""
    sides = assign_sides([edge for edge in edge_list(nodes) if edge[1] - edge[0] > 1])
    pairs = [(a, b) for a in sides for b in sides if sides[a] == sides[b] and a[0] < b[0] < a[1] < b[1]]
    assert len(pairs) == crossings


def test_edges_end_at_their_nodes() -> None:
    layout = layout_graph(5, edge_list(5), 120, 40)
    half = layout.node_size / 2
    for (i, j), shape in layout.edges.items():
        for (x, y), node in ((shape.start, i), (shape.end, j)):
            assert max(abs(x - layout.centres[node]), abs(y)) == pytest.approx(half)
        if j == i + 1:  # enough line on both sides of the label to see its colour and the arrow's head
            assert min(shape.label[0] - shape.start[0], shape.end[0] - shape.label[0]) - 120 / 2 >= 20
