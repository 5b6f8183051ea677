"""The order of an ablation's rows as a tournament found it, beside the paper's."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from jsnas.paper import table
from trainers.statistics import kendall
from trainers.tournament.verdict import Judgement

DATASETS = ("Set5", "Set14")  # those that Tables 2 to 5 all have


@dataclass(frozen=True)
class PaperOrder:
    """Two orders of the same rows.

    Attributes:
        paper: Mean PSNR in dB that the paper prints for Set5 and Set14, the best row first.
        ours: Mean PSNR in dB of the tournament, the best row first.
        tau: Kendall's tau of the two; ties are left out of the order.
        swapped: Pairs of rows that the two order differently, the paper's better one first.
    """

    paper: dict[str, float]
    ours: dict[str, float]
    tau: float
    swapped: list[tuple[str, str]]

    def __str__(self) -> str:
        if math.isnan(self.tau):
            return "Too few rows have a PSNR, or all have the same, to compare their order with the paper's."
        if not self.swapped:
            return f"The order is the paper's (Kendall's tau {self.tau:.2f})."
        pairs = ", ".join(f"{better} over {worse}" for better, worse in self.swapped)
        of = len(self.paper) * (len(self.paper) - 1) // 2
        return (
            f"The order differs from the paper's in {len(self.swapped)} of {of} pairs (Kendall's tau {self.tau:.2f}); "
            f"the paper has {pairs}."
        )


def paper_order(judgement: Judgement, number: str) -> PaperOrder:
    """Sets a tournament of one table's rows beside the table.

    Args:
        judgement: Of a tournament whose contestants are the rows of the table.
        number: The table, ``"2"`` to ``"5"``.
    """
    printed: dict[str, list[float]] = {}
    for cell in table(number):
        if cell.metric == "psnr_db" and cell.dataset in DATASETS and cell.value is not None:
            printed.setdefault(cell.method, []).append(cell.value)
    ours = {s.name: s.psnr_db.mean for s in judgement.standings if s.psnr_db.n}
    paper = {name: sum(values) / len(values) for name, values in printed.items() if name in ours}
    names = list(paper)
    swapped = [
        (a, b) if paper[a] > paper[b] else (b, a)
        for a, b in itertools.combinations(names, 2)
        if (paper[a] - paper[b]) * (ours[a] - ours[b]) < 0
    ]
    return PaperOrder(
        dict(sorted(paper.items(), key=lambda item: -item[1])),
        dict(sorted(((name, ours[name]) for name in names), key=lambda item: -item[1])),
        kendall([paper[name] for name in names], [ours[name] for name in names]),
        swapped,
    )
