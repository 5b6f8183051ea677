"""How one edge's probabilities moved: the winner as a ribbon, the candidates as lines and as a heat map."""

from __future__ import annotations

import base64
import io

from PIL import Image

from jsnas.report.axes import Axis, x_numbers, y_grid
from jsnas.report.line_chart import WIDTH, iteration_axis, mark_line, path_of, svg, thinned
from jsnas.report.markup import Html, el
from jsnas.report.run_metrics import EdgeHistory
from jsnas.report.svg_style import candidate_colors, shorten

_LEFT = 104.0
_RIBBON, _LINES_TOP, _LINES_BOTTOM = (4.0, 9.0), 22.0, 112.0
_ROW, _COLUMNS, _BOTTOM = 15.0, 120, 38.0
_HEAT = (38, 110, 190)
_MOST_CHANGES = 24


def edge_chart(edge: EdgeHistory, shown_range: tuple[float, float], mark: float | None) -> Html:
    """The chart of one edge.

    Args:
        edge: Its history.
        shown_range: Lowest and highest probability of all charts, so that they can be compared.
        mark: The warm-up's last iteration, or None.
    """
    x = iteration_axis(edge.iterations[0], edge.iterations[-1], _LEFT)
    y = Axis.around(list(shown_range), _LINES_BOTTOM, _LINES_TOP)
    heat_top = _LINES_BOTTOM + 10
    heat_bottom = heat_top + _ROW * len(edge.names)
    parts: list[Html | None] = [
        el("text", "winner", class_="tick", x=_LEFT - 6, y=_RIBBON[0] + 9, text_anchor="end"),
        _ribbon(edge, x),
        y_grid(x, y, 3, percent=True),
    ]
    winner = edge.winners[-1]
    for k in sorted(range(len(edge.names)), key=lambda k: k == winner):
        points = thinned(list(zip(edge.iterations, edge.values[k], strict=True)))
        css = "line hue strong" if k == winner else "line hue"
        parts.append(el("path", class_=css, style=hue(edge.names[k]), d=path_of(points, x, y)))
    for k, name in enumerate(edge.names):
        middle = heat_top + (k + 0.5) * _ROW
        css = "tick chosen" if k == winner else "tick"
        parts.append(el("rect", class_="swatch hue", style=hue(name), x=2, y=middle - 4, width=8, height=8, rx=2))
        parts.append(el("text", el("title", name), shorten(name, 12), class_=css, x=14, y=middle + 4))
    parts.append(_heat_map(edge, x, shown_range, heat_top, heat_bottom))
    parts.append(_change_lines(edge, x, heat_bottom))
    parts += [mark_line(x, mark, _RIBBON[0], heat_bottom), x_numbers(x, heat_bottom, 4)]
    return svg(WIDTH, heat_bottom + _BOTTOM - 14, edge_words(edge), parts)


def edge_words(edge: EdgeHistory) -> str:
    """The chart in words."""
    name = edge.names[edge.winners[-1]]
    first, last = edge.values[edge.winners[-1]][0], edge.values[edge.winners[-1]][-1]
    times = len(edge.changes)
    changes = "never changed" if not times else f"changed {times} time{'s' * (times > 1)}"
    return f"{edge.label}: {name} leads at {last:.1%} (it began at {first:.1%}); the winner {changes}."


def hue(name: str) -> str:
    """Style of a candidate's own colour, light and dark."""
    light, dark = candidate_colors(name)
    return f"--l:{light};--d:{dark}"


def _ribbon(edge: EdgeHistory, x: Axis) -> Html:
    """The winner over time, coloured by candidate; it changes midway between two lines of the metrics."""
    parts, start = [], 0
    times = edge.iterations
    for t in range(1, len(times) + 1):
        if t < len(times) and edge.winners[t] == edge.winners[start]:
            continue
        left = x.start if start == 0 else x.place((times[start - 1] + times[start]) / 2)
        right = x.end if t == len(times) else x.place((times[t - 1] + times[t]) / 2)
        name = edge.names[edge.winners[start]]
        title = el("title", f"{name} from iteration {times[start]:,.0f} to {times[t - 1]:,.0f}")
        box = {"x": left, "y": _RIBBON[0], "width": max(right - left, 0.3), "height": _RIBBON[1]}
        parts.append(el("rect", title, class_="band hue", style=hue(name), **box))
        start = t
    return Html("".join(parts))


def _change_lines(edge: EdgeHistory, x: Axis, bottom: float) -> Html | None:
    """A thin upright line where the winner changed; none where they would hide the curves."""
    pairs = zip(edge.iterations, edge.winners, edge.iterations[1:], edge.winners[1:], strict=False)
    places = [x.place((before + after) / 2) for before, a, after, b in pairs if a != b]
    if not 0 < len(places) <= _MOST_CHANGES:
        return None
    path = "".join(f"M{place:.1f} {_RIBBON[0]:.1f}V{bottom:.1f}" for place in places)
    return el("path", class_="change", d=path)


def _heat_map(edge: EdgeHistory, x: Axis, shown_range: tuple[float, float], top: float, bottom: float) -> Html:
    """One row a candidate, one column a stretch of time; one hue whose opacity is the probability, for both themes."""
    low, high = shown_range
    columns = min(_COLUMNS, max(1, 4 * len(edge.iterations)))
    image = Image.new("RGBA", (columns, len(edge.names)))
    for column in range(columns):
        t = edge.at(x.low + (column + 0.5) / columns * (x.high - x.low))
        for row, values in enumerate(edge.values):
            share = (values[t] - low) / (high - low) if high > low else 0.5
            image.putpixel((column, row), (*_HEAT, round(16 + 239 * min(max(share, 0), 1))))
    place = {"x": x.start, "y": top, "width": x.end - x.start, "height": bottom - top}
    source = data_uri(image)
    return el("image", href=source, preserveAspectRatio="none", class_="pixels", aria_hidden="true", **place)


def data_uri(image: Image.Image) -> str:
    """An image as a PNG inside an address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
