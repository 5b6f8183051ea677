"""Axes of the charts: round ticks, short numbers, and how a value becomes a place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jsnas.report.markup import Html, el


@dataclass(frozen=True)
class Axis:
    """A scale from values to places along one direction of a chart.

    Attributes:
        low, high: Values at the two ends, low < high.
        start, end: Their places.
        log: Whether equal ratios take equal room; both values are then above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def around(cls, values: list[float], start: float, end: float, log: bool = False, margin: float = 0.06) -> Axis:
        """An axis that holds all values (at least one) with some room at both ends."""
        low, high = min(values), max(values)
        if log:
            room = max(margin * math.log(high / low), 0.05)
            return cls(low * math.exp(-room), high * math.exp(room), start, end, True)
        room = margin * (high - low) or max(abs(high) * 0.5, 1e-9)
        return cls(low - room, high + room, start, end)

    def place(self, value: float) -> float:
        """Where a value stands."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((math.log(value) if self.log else value) - low) / ((high - low) or 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int, least_step: float = 0.0) -> list[float]:
        """At most about ``most`` round values in its range, ``least_step`` or more apart where it is not log."""
        if self.log:
            return self._log_ticks(most)
        step = max(_round_step((self.high - self.low) / most), least_step)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [(first + k) * step for k in range(min(count, 2 * most))]

    def _log_ticks(self, most: int) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found: list[float] = []
        for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
            ticks = [d * 10.0**k for k in decades for d in digits if self.low <= d * 10.0**k <= self.high]
            if len(ticks) > most and found:
                break
            found = ticks
        return found[:: max(1, math.ceil(len(found) / most))]


def short(value: float) -> str:
    """A number for an axis: ``400k``, ``2.5M``, ``2e-4``."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{name}"
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.4g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def y_grid(x: Axis, y: Axis, most: int = 4, percent: bool = False) -> Html:
    """Level grid lines with their numbers at the left."""
    parts = []
    for value in y.ticks(most):
        at = y.place(value)
        name = f"{100 * value:.4g}%" if percent else short(value)
        parts.append(el("path", class_="grid", d=f"M{x.start:.1f} {at:.1f}H{x.end:.1f}"))
        parts.append(el("text", name, class_="tick", x=x.start - 6, y=at + 4, text_anchor="end"))
    return Html("".join(parts))


def x_numbers(x: Axis, bottom: float, most: int = 5) -> Html:
    """The line below a chart with its numbers, whole ones."""
    parts = [el("path", class_="axis", d=f"M{x.start:.1f} {bottom:.1f}H{x.end:.1f}")]
    for value in x.ticks(most, least_step=1.0):
        at = x.place(value)
        parts.append(el("path", class_="axis", d=f"M{at:.1f} {bottom:.1f}v4"))
        parts.append(el("text", short(value), class_="tick", x=at, y=bottom + 17, text_anchor="middle"))
    return Html("".join(parts))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
