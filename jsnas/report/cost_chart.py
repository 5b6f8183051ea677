"""PSNR against cost: the published networks and this run's as a scatter of named points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jsnas.report.axes import Axis, x_numbers, y_grid
from jsnas.report.line_chart import svg
from jsnas.report.markup import Html, el
from jsnas.report.svg_style import text_width

WIDTH, HEIGHT = 360.0, 380.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 26.0, 42.0
_SIZE = 11.0

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """A network.

    Attributes:
        name: What it is called.
        cost: Parameters or multiply-adds, above 0.
        psnr_db: Its PSNR in dB; None where none was measured that compares: it is then a line at its cost.
        kind: ``"published"``, ``"paper"`` (JSNet as published) or ``"run"`` (this run's).
    """

    name: str
    cost: float
    psnr_db: float | None
    kind: str = "published"


def cost_chart(points: Sequence[Point], x_label: str, y_label: str, label: str, front: Sequence[Point] = ()) -> Html:
    """The scatter; at least one point has a PSNR.

    Args:
        points: The networks.
        x_label: What the cost is.
        y_label: What the PSNR was measured on.
        label: The chart in words, for screen readers.
        front: Points to join by a line of steps, from the cheapest on: the Pareto front.
    """
    placed = [(point, point.psnr_db) for point in points if point.psnr_db is not None]
    x = Axis.around([p.cost for p in points], _LEFT, WIDTH - _RIGHT, log=True, margin=0.08)
    y = Axis.around([psnr for _, psnr in placed], HEIGHT - _BOTTOM, _TOP)
    parts: list[Html] = [y_grid(x, y, 5), x_numbers(x, HEIGHT - _BOTTOM, 6)]
    parts.append(el("text", y_label, class_="tick", x=_LEFT, y=14))
    parts.append(el("text", x_label, class_="tick", x=(x.start + x.end) / 2, y=HEIGHT - 6, text_anchor="middle"))
    taken: list[Box] = []
    lines: list[Box] = []  # names stand on these where there is no other room
    for point in points:
        if point.psnr_db is None:
            parts += _upright(point, x, taken)
            lines.append((x.place(point.cost) - 2, _TOP, x.place(point.cost) + 2, HEIGHT - _BOTTOM))
    parts += _steps(front, x, y)
    spots = [(point, x.place(point.cost), y.place(psnr)) for point, psnr in placed]
    taken += [(px - 6, py - 6, px + 6, py + 6) for _, px, py in spots]
    order = {"run": 0, "paper": 1, "published": 2}
    for point, px, py in sorted(spots, key=lambda spot: order[spot[0].kind]):
        parts += _named(point, px, py, taken, lines) or _named(point, px, py, taken, [])
    for point, px, py in spots:
        parts.append(_sign(point, px, py))
    return svg(WIDTH, HEIGHT, label, parts)


def _steps(front: Sequence[Point], x: Axis, y: Axis) -> list[Html]:
    """The line of a Pareto front: what the best PSNR is that a cost buys."""
    places = sorted((x.place(p.cost), y.place(p.psnr_db)) for p in front if p.psnr_db is not None)
    if not places:
        return []
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}" + "".join(f"H{px:.1f}V{py:.1f}" for px, py in places[1:])
    return [el("path", class_="leader", d=f"{path}H{x.end:.1f}")]


def _upright(point: Point, x: Axis, taken: list[Box]) -> list[Html]:
    """A network whose PSNR does not compare: a dashed line at its cost."""
    at, bottom = x.place(point.cost), HEIGHT - _BOTTOM
    width = text_width(point.name, _SIZE)
    after = at + 6 + width < x.end
    left = at + 6 if after else at - 6 - width
    taken.append((left, bottom - 20, left + width, bottom - 4))
    anchor, place = ("start", at + 6) if after else ("end", at - 6)
    return [
        el("path", class_="run-line", d=f"M{at:.1f} {_TOP:.1f}V{bottom:.1f}"),
        el("text", point.name, class_="name run", x=place, y=bottom - 8, text_anchor=anchor),
    ]


def _named(point: Point, x: float, y: float, taken: list[Box], lines: list[Box]) -> list[Html]:
    """Its name in the nearest free room, with a thin line where that is not beside the point; none if all is full."""
    width, height = text_width(point.name, _SIZE), _SIZE + 3
    for distance in (9, 16, 24, 34, 46, 60, 76):
        for turn in (0, 180, 270, 90, 315, 225, 45, 135):
            dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            cx, cy = x + dx * (distance + width / 2), y + dy * (distance + height / 2)
            box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
            inside = box[0] >= _LEFT and box[1] >= _TOP - 6 and box[2] <= WIDTH and box[3] <= HEIGHT - _BOTTOM - 2
            if inside and not any(_overlap(box, other) for other in taken + lines):
                taken.append(box)
                css = "name" if point.kind == "published" else f"name {point.kind}"
                name = el("text", point.name, class_=css, x=cx, y=cy + 4, text_anchor="middle")
                if distance <= 16:
                    return [name]
                end = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
                return [el("path", class_="leader", d=f"M{x:.1f} {y:.1f}L{end[0]:.1f} {end[1]:.1f}"), name]
    return []


def _sign(point: Point, x: float, y: float) -> Html:
    psnr = "" if point.psnr_db is None else f"{point.psnr_db:.2f} dB, "
    title = el("title", f"{point.name}: {psnr}{point.cost:,.0f}")
    if point.kind == "run":
        return el("path", title, class_="sign run", d=f"M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7Z")
    return el("circle", title, class_=f"sign {point.kind}", cx=x, cy=y, r=4.5 if point.kind == "paper" else 3.5)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
