"""Draws the three pictures of the page "The idea" from the folder of a search: `python docs/pictures.py RUN OUT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jsnas.genotype import Genotype, edge_name
from jsnas.report.edge_chart import edge_chart
from jsnas.report.module_svg import draw_genotype
from jsnas.report.page_style import STYLE
from jsnas.report.run_metrics import EdgeHistory, Metrics
from jsnas.report.search_sections import confidences

_RULES = (":root", ".chart", ".grid", ".axis", ".mark", ".change", ".line", ".hue", ".swatch", ".pixels")


def idea_pictures(run: Path) -> dict[str, str]:
    """Name to SVG: the space with every edge open, how the liveliest edge was decided, and what was found."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    metrics, found = Metrics(lines), Genotype.load(run / "genotype.json")
    choices: dict[str, dict[str, str]] = {"operation": {}, "attention": {}}
    for edge in metrics.edges:
        choices[edge.part][edge_name(edge.edge)] = f"{len(edge.names)} candidates"
    space = Genotype.from_edges(found.task, choices["operation"], choices["attention"], found.scale)
    liveliest = max((edge for edge in metrics.edges if edge.part == "operation"), key=_liveliness)
    return {
        "space": draw_genotype(space, title="The search space: a choice on every edge"),
        "edge": _alone(edge_chart(liveliest, metrics.probability_range, metrics.warmup_end)),
        "found": draw_genotype(found, confidences(found, metrics.edges), "The module that was found"),
    }


def _liveliness(edge: EdgeHistory) -> tuple[int, float]:
    return min(len(edge.changes), 5), edge.values[edge.winners[-1]][-1]


def _alone(chart: str) -> str:
    """A chart of the page as a file of its own: light, on white, with the rules of the page's style that it needs."""
    style = STYLE.partition("@media")[0] + "".join(rule for rule in STYLE.splitlines() if rule.startswith(_RULES))
    head, _, rest = chart.partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="420" ', 1)
    return f'{head}><style>{style}</style><rect width="100%" height="100%" fill="#ffffff"/>{rest}\n'


if __name__ == "__main__":
    for name, svg in idea_pictures(Path(sys.argv[1])).items():
        (Path(sys.argv[2]) / f"{name}.svg").write_text(svg, encoding="utf-8")
