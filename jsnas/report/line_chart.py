"""A small line chart as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jsnas.report.axes import Axis, x_numbers, y_grid
from jsnas.report.markup import Html, el
from jsnas.report.run_metrics import Series

WIDTH = 360.0
LEFT, RIGHT, TOP = 52.0, 14.0, 12.0
_HEIGHT, _BOTTOM = 190.0, 40.0
_MOST_POINTS = 300
_LOG_FROM = 30  # ratio of highest to lowest from which ratios are shown


@dataclass(frozen=True)
class Line:
    """One line: what it is called, its points, and the number (1 to 4) of its colour and dashes."""

    name: str
    points: Series
    look: int = 1


def line_chart(
    lines: Sequence[Line], x_label: str, label: str, mark: float | None = None, percent: bool = False, log: bool = False
) -> Html:
    """A chart of at least one point.

    Args:
        lines: The lines; empty ones are left out.
        x_label: What runs along the bottom.
        label: The chart in words, for screen readers.
        mark: Place of a dashed upright line (the end of the warm-up), or None.
        percent: Whether the values are shares.
        log: Whether values above 0 that lie far apart are shown by their ratios.
    """
    lines = [line for line in lines if line.points]
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x = iteration_axis(min(xs), max(xs), LEFT)
    bottom = _HEIGHT - _BOTTOM
    y = (
        Axis(-0.03, 1.03, bottom, TOP)
        if percent
        else Axis.around(ys, bottom, TOP, log and max(ys) > _LOG_FROM * min(ys) > 0)
    )
    parts = [y_grid(x, y, percent=percent), x_numbers(x, bottom), mark_line(x, mark, TOP, bottom)]
    for line in lines:
        points = thinned(line.points)
        parts.append(el("path", class_=f"line look{line.look}", d=path_of(points, x, y)))
        if len(points) <= 30:
            dots = (el("circle", class_=f"dot look{line.look}", cx=x.place(a), cy=y.place(b), r=2.4) for a, b in points)
            parts.append(Html("".join(dots)))
    parts.append(el("text", x_label, class_="tick", x=(x.start + x.end) / 2, y=_HEIGHT - 4, text_anchor="middle"))
    return svg(WIDTH, _HEIGHT, label, parts)


def iteration_axis(first: float, last: float, left: float) -> Axis:
    """The axis along the bottom."""
    if first == last:
        first, last = first - 0.5, last + 0.5
    return Axis(first, last, left, WIDTH - RIGHT)


def mark_line(x: Axis, mark: float | None, top: float, bottom: float) -> Html | None:
    """The dashed upright line at the end of the warm-up."""
    if mark is None or not x.low <= mark <= x.high:
        return None
    return el("path", class_="mark", d=f"M{x.place(mark):.1f} {top:.1f}V{bottom:.1f}")


def path_of(points: Series, x: Axis, y: Axis) -> str:
    """SVG path data through points."""
    places = [f"{x.place(a):.1f} {y.place(b):.1f}" for a, b in points]
    return f"M{places[0]}" + "".join(f"L{place}" for place in places[1:]) + ("h.1" if len(places) == 1 else "")


def thinned(points: Series) -> Series:
    """At most some hundred of many points: in each stretch the lowest and the highest, so that no peak is lost."""
    if len(points) <= _MOST_POINTS:
        return points
    size = -(-len(points) // (_MOST_POINTS // 2))
    kept = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return kept


def svg(width: float, height: float, label: str, parts: Sequence[Html | None]) -> Html:
    """An SVG as wide as its place, which screen readers read as its label."""
    return el("svg", *parts, class_="chart", viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)
