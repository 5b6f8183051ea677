"""``metrics.jsonl`` as series: single figures, and the probabilities of every edge's candidates."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jsnas.genotype import EXCLUDED, Edge
from jsnas.report.run_files import number, whole

Series = list[tuple[float, float]]

_EDGE_KEY = re.compile(r"probability/(operation|attention)_(\d{1,2})_(\d{1,2})/(.+)", re.DOTALL)
_MOST_EDGES, _MOST_CANDIDATES = 132, 40  # two full graphs of twelve nodes


@dataclass(frozen=True)
class EdgeHistory:
    """Probabilities of one edge's candidates over a search.

    Attributes:
        part: ``"operation"`` or ``"attention"``.
        edge: The edge.
        names: Its candidates.
        iterations: When they were written.
        values: One row a candidate: its probability at each of these, 0 to 1.
    """

    part: str
    edge: Edge
    names: tuple[str, ...]
    iterations: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def label(self) -> str:
        """Such as ``operation 0→1``."""
        return f"{self.part} {self.edge[0]}→{self.edge[1]}"

    @cached_property
    def winners(self) -> tuple[int, ...]:
        """Index of the most probable candidate each time, ``none`` aside."""
        able = [k for k, name in enumerate(self.names) if name != EXCLUDED] or [0]
        return tuple(max(able, key=lambda k: self.values[k][t]) for t in range(len(self.iterations)))

    @property
    def changes(self) -> list[tuple[float, str, str]]:
        """(iteration, winner before, winner now) for each change."""
        pairs = enumerate(zip(self.winners, self.winners[1:], strict=False), start=1)
        return [(self.iterations[t], self.names[a], self.names[b]) for t, (a, b) in pairs if a != b]

    def at(self, iteration: float) -> int:
        """Index of the line nearest to an iteration."""
        right = bisect_left(self.iterations, iteration)
        near = [k for k in (right - 1, right) if 0 <= k < len(self.iterations)]
        return min(near, key=lambda k: abs(self.iterations[k] - iteration))

    def last(self, name: str) -> float | None:
        """The last probability of a candidate."""
        return self.values[self.names.index(name)][-1] if name in self.names else None


class Metrics:
    """What a run wrote about itself.

    Args:
        lines: The lines of ``metrics.jsonl``, in any order; those without an iteration are left out.
    """

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        self._lines = sorted(
            (line for line in lines if whole(line.get("iteration")) is not None), key=lambda line: line["iteration"]
        )

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def last_iteration(self) -> int:
        """The last iteration written."""
        return int(self._lines[-1]["iteration"]) if self._lines else 0

    @property
    def of_search(self) -> bool:
        """Whether a search wrote them; a training names no phases."""
        return any("phase" in line for line in self._lines)

    @property
    def of_trials(self) -> bool:
        """Whether each line is a trial of its own."""
        return any(line.get("phase") == "trial" for line in self._lines)

    @property
    def warmup_end(self) -> int | None:
        """The last iteration written during the warm-up, where a search follows."""
        warm = [line["iteration"] for line in self._lines if line.get("phase") == "warm-up"]
        return int(max(warm)) if warm and any(line.get("phase") == "search" for line in self._lines) else None

    def series(self, key: str) -> Series:
        """(iteration, value) wherever a figure was written."""
        pairs = ((float(line["iteration"]), number(line.get(key))) for line in self._lines)
        return [(x, y) for x, y in pairs if y is not None]

    @cached_property
    def genotype_changes(self) -> list[float]:
        """Iterations at which the derived genotype became another one."""
        found, before = [], None
        for line in self._lines:
            words = line.get("genotype")
            if isinstance(words, str) and line.get("phase") in ("warm-up", "search"):
                if before not in (None, words):
                    found.append(float(line["iteration"]))
                before = words
        return found

    @cached_property
    def edges(self) -> list[EdgeHistory]:
        """Every edge's history, operations first; lines that lack one of its candidates are passed over."""
        names: dict[tuple[str, Edge], dict[str, str]] = {}
        written = [line for line in self._lines if any(key.startswith("probability/") for key in line)]
        for line in written[:1] + written[-1:]:
            for key in line:
                if (match := _EDGE_KEY.fullmatch(key)) and number(line[key]) is not None:
                    place = match[1], (int(match[2]), int(match[3]))
                    if place in names or len(names) < _MOST_EDGES:
                        known = names.setdefault(place, {})
                        if len(known) < _MOST_CANDIDATES:
                            known[match[4]] = key
        order = sorted(names, key=lambda place: (place[0] != "operation", place[1][1], place[1][0]))
        return [history for place in order if (history := _history(place, names[place], written)) is not None]

    @cached_property
    def probability_range(self) -> tuple[float, float]:
        """Lowest and highest probability of all edges."""
        rows = [row for edge in self.edges for row in edge.values]
        return min(map(min, rows)), max(map(max, rows))


def _history(place: tuple[str, Edge], names: dict[str, str], lines: list[dict[str, Any]]) -> EdgeHistory | None:
    iterations, columns = [], []
    for line in lines:
        values = [number(line.get(key)) for key in names.values()]
        column = [value for value in values if value is not None and 0 <= value <= 1]
        if len(column) == len(names):
            iterations.append(float(line["iteration"]))
            columns.append(column)
    if not columns:
        return None
    return EdgeHistory(*place, tuple(names), tuple(iterations), tuple(zip(*columns, strict=True)))
