"""The few shapes that drawn genotypes are made of, as SVG markup with absolute coordinates."""

from __future__ import annotations

from jsnas.report.svg_style import text_width

TIMES, MINUS = "\u00d7", "\u2212"
UPRIGHT = (32.0, 104.0)  # width and height of an upright block


def text(x: float, y: float, content: str, size: float, anchor: str = "middle", extra: str = "") -> str:
    """A ``<text>``; ``content`` is markup and already escaped."""
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
    return f'<text {place} fill="#1b1f23" {extra}>{content}</text>'


def line(path: str, width: float = 2, extra: str = "") -> str:
    """A black line along SVG path data."""
    return f'<path class="jsm-line" fill="none" stroke="#1b1f23" stroke-width="{width:g}" {extra} d="{path}"/>'


def ring(x: float, y: float, radius: float, width: float) -> str:
    """A black circle."""
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
    return f'<circle class="jsm-line" {place} fill="none" stroke="#1b1f23" stroke-width="{width:g}"/>'


def plus_sign(x: float, y: float, radius: float) -> str:
    """The sign of an element-wise sum."""
    cross = f"M{x - radius:.1f} {y:.1f}L{x + radius:.1f} {y:.1f}M{x:.1f} {y - radius:.1f}L{x:.1f} {y + radius:.1f}"
    return ring(x, y, radius, 2) + line(cross)


def head(
    tip: tuple[float, float],
    direction: tuple[float, float],
    stroke: float,
    css: str = "jsm-tip",
    color: str = "#1b1f23",
) -> str:
    """An arrow's head; a path of its own, as renderers differ in how they colour markers."""
    (x, y), (dx, dy) = tip, direction
    length, half = 6.5 + 1.5 * stroke, 3.0 + 0.8 * stroke
    bx, by = x - length * dx, y - length * dy
    left, right = (bx - half * dy, by + half * dx), (bx + half * dy, by - half * dx)
    d = f"M{x:.1f} {y:.1f}L{left[0]:.1f} {left[1]:.1f}L{right[0]:.1f} {right[1]:.1f}Z"
    return f'<path class="{css}" d="{d}" fill="{color}"/>'


def arrow(x0: float, x1: float, y: float) -> str:
    """A straight black arrow to the right."""
    return line(f"M{x0:.1f} {y:.1f}L{x1 - 8:.1f} {y:.1f}") + head((x1, y), (1, 0), 2)


def block(x: float, y: float, name: str, upright: bool = False) -> str:
    """A layer whose left side is at x and whose middle is at y; upright ones are as narrow as in the paper."""
    width, height = UPRIGHT if upright else (text_width(name, 16) + 28, 48.0)
    center = x + width / 2
    turn = f'transform="rotate(-90 {center:.1f} {y:.1f})"' if upright else ""
    box = (
        f'<rect class="jsm-node" x="{x:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" '
        f'fill="#ffffff" stroke="#1b1f23" stroke-width="2"/>'
    )
    return box + text(center, y + 5.5, name, 16, extra=turn)


def symbol(x: float, y: float, letter: str, index: str, size: float = 21) -> str:
    """A feature map's name with its index, as the paper writes it."""
    low = f'<tspan dy="{size * 0.22:.1f}" font-size="{size * 0.66:.1f}">{index}</tspan>'
    return text(x, y, f"{letter}{low}", size, extra='font-style="italic"')


def badge(x: float, y: float, sign: str) -> str:
    """The sign of a difference."""
    return (
        f'<circle class="jsm-mark" cx="{x:.1f}" cy="{y:.1f}" r="9" fill="#ffdf7e" stroke="#1b1f23" stroke-width="1.4"/>'
        + text(x, y + 5, sign, 14, extra='class="jsm-on-mark" font-weight="700"')
    )
