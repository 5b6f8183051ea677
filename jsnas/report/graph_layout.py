"""Geometry of a drawn search graph: where its nodes, edges and edge labels stand so that nothing collides.

The nodes stand on one line. An edge to the next node is a straight arrow; every longer one is an arc on a
track of its own above or below the line. Lines rise and fall only beside the nodes, labels stand in the wide
gaps between them, each on its own track: that is why no label can meet another label, a node or a foreign line.
"""

from __future__ import annotations

from dataclasses import dataclass

from jsnas.genotype import Edge

STUB = 24.0  # length of line to see between a node and the nearest label
_TRACK_GAP = 14.0  # free height between the labels of neighbouring tracks
_PORT_STEP = 9.0  # least distance of two lines that end at the same side of a node
_CORNER_HEIGHT = 38.0


@dataclass(frozen=True)
class EdgeShape:
    """One drawn edge.

    Attributes:
        start, end: Where the line leaves its node and where the arrow's tip touches the other.
        track: Height y of the flat part.
        direction: Unit vector of the arrow's tip.
        label: Centre of its label.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    track: float
    direction: tuple[int, int]
    label: tuple[float, float]

    def shifted(self, x: float, y: float) -> EdgeShape:
        """The same edge at another place."""
        (x0, y0), (x1, y1), (label_x, label_y) = self.start, self.end, self.label
        return EdgeShape((x0 + x, y0 + y), (x1 + x, y1 + y), self.track + y, self.direction, (label_x + x, label_y + y))

    def path(self, short: float = 0.0) -> str:
        """SVG path data (absolute M, L and C only) that stops ``short`` units before the tip."""
        (x0, y0), (x1, y1) = (
            self.start,
            (self.end[0] - short * self.direction[0], self.end[1] - short * self.direction[1]),
        )
        if self.direction[1] == 0:
            return f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
        side = -self.direction[1]  # -1 above the nodes, 1 below
        shoulder = self.track - side * _CORNER_HEIGHT
        reach, bend = STUB + 6, 0.4  # the corner ends where the label's room begins; bend 0.45 is an ellipse
        return (
            f"M{x0:.1f} {y0:.1f}L{x0:.1f} {shoulder:.1f}"
            f"C{x0:.1f} {self.track - side * _CORNER_HEIGHT * bend:.1f} {x0 + reach * bend:.1f} {self.track:.1f} "
            f"{x0 + reach:.1f} {self.track:.1f}L{x1 - reach:.1f} {self.track:.1f}"
            f"C{x1 - reach * bend:.1f} {self.track:.1f} {x1:.1f} {self.track - side * _CORNER_HEIGHT * bend:.1f} "
            f"{x1:.1f} {shoulder:.1f}L{x1:.1f} {y1:.1f}"
        )


@dataclass(frozen=True)
class GraphLayout:
    """A laid-out graph; x starts at the left side of node 0, the nodes' centres lie on y = 0.

    Attributes:
        node_size: Side of the square nodes.
        centres: x of each node's centre.
        edges: Shape of each edge.
        above, below: How far the drawing reaches over and under y = 0, both positive.
    """

    node_size: float
    centres: tuple[float, ...]
    edges: dict[Edge, EdgeShape]
    above: float
    below: float

    @property
    def width(self) -> float:
        """From the left side of node 0 to the right side of the last node."""
        return self.centres[-1] + self.node_size / 2


def layout_graph(nodes: int, edges: list[Edge], label_width: float, label_height: float) -> GraphLayout:
    """Lays out a graph of ``nodes`` nodes.

    Args:
        nodes: Number of nodes, at least 1.
        edges: The edges kept.
        label_width: Width of the widest label.
        label_height: Height of a label.
    """
    sides = assign_sides([edge for edge in edges if edge[1] - edge[0] > 1])
    levels = _levels(sides)
    ports = {(node, side, leaving): _at_port(node, side, leaving, sides, levels)
             for node in range(nodes) for side in (-1, 1) for leaving in (False, True)}  # fmt: skip
    busiest = max(map(len, ports.values()), default=0)
    size = max(54.0, 2 * _PORT_STEP * (busiest + 1))
    half = size / 2
    pitch = size + label_width + 2 * STUB
    centres = tuple(half + node * pitch for node in range(nodes))

    def port(edge: Edge, leaving: bool) -> float:
        node = edge[0] if leaving else edge[1]
        here = ports[node, sides[edge], leaving]
        inset = half * (here.index(edge) + 1) / (len(here) + 1)
        return centres[node] + (half - inset if leaving else inset - half)

    shapes: dict[Edge, EdgeShape] = {}
    reach = {-1: max(half, label_height / 2), 1: max(half, label_height / 2)}
    for edge in edges:
        i, j = edge
        if edge not in sides:
            start, end = (centres[i] + half, 0.0), (centres[j] - half, 0.0)
            shapes[edge] = EdgeShape(start, end, 0.0, (1, 0), ((start[0] + end[0]) / 2, 0.0))
            continue
        side = sides[edge]
        distance = half + _CORNER_HEIGHT + 16 + levels[edge] * (label_height + _TRACK_GAP)
        reach[side] = max(reach[side], distance + label_height / 2)
        label_x = _label_x(edge, centres, sides, levels)
        start, end = (port(edge, True), side * half), (port(edge, False), side * half)
        shapes[edge] = EdgeShape(start, end, side * distance, (0, -side), (label_x, side * distance))
    return GraphLayout(size, centres, shapes, reach[-1], reach[1])


def assign_sides(edges: list[Edge]) -> dict[Edge, int]:
    """Side of each long edge, -1 above or 1 below: few crossings, then an even share (longest edges first)."""
    sides: dict[Edge, int] = {}
    for edge in sorted(edges, key=lambda e: (e[0] - e[1], e)):
        sides[edge] = min((-1, 1), key=lambda side: (_crossings(edge, side, sides), list(sides.values()).count(side)))
    improved = True
    while improved:  # ends: every turn lowers the number of crossings
        improved = False
        for edge, side in sides.items():
            if _crossings(edge, -side, sides) < _crossings(edge, side, sides):
                sides[edge], improved = -side, True
    return sides


def _crossings(edge: Edge, side: int, sides: dict[Edge, int]) -> int:
    i, j = edge
    return sum(1 for (a, b), other in sides.items() if other == side and (i < a < j < b or a < i < b < j))


def _levels(sides: dict[Edge, int]) -> dict[Edge, int]:
    """Track of each long edge, 0 next to the nodes; edges that overlap on one side get different ones."""
    levels: dict[Edge, int] = {}
    for edge in sorted(sides, key=lambda e: (e[1] - e[0], e)):
        under = [levels[e] for e in levels if sides[e] == sides[edge] and e[0] < edge[1] and edge[0] < e[1]]
        levels[edge] = max(under, default=-1) + 1
    return levels


def _at_port(node: int, side: int, leaving: bool, sides: dict[Edge, int], levels: dict[Edge, int]) -> list[Edge]:
    """Edges at one half of a node's side from its corner inwards: the higher the track, the nearer to the middle."""
    here = [e for e in sides if sides[e] == side and e[0 if leaving else 1] == node]
    return sorted(here, key=lambda e: levels[e])


def _label_x(edge: Edge, centres: tuple[float, ...], sides: dict[Edge, int], levels: dict[Edge, int]) -> float:
    """The middle of the arc, unless a line that rises beside the node there would cross it: then the nearest gap."""
    i, j = edge
    middle = (centres[i] + centres[j]) / 2
    gaps = [(centres[k] + centres[k + 1]) / 2 for k in range(i, j)]
    if (j - i) % 2 == 0:
        node = (i + j) // 2
        passing = [e for e in sides if node in e and sides[e] == sides[edge] and levels[e] > levels[edge]]
        if not passing:
            return middle
    return min(gaps, key=lambda x: (round(abs(x - middle), 3), x))
