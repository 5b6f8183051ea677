"""Hypothesis draws genotypes: any task, any candidates, edges pruned and parts left out."""

from __future__ import annotations

from hypothesis import strategies as st

from jsnas.attentions import ATTENTIONS
from jsnas.genotype import Genotype
from jsnas.operations import OPERATIONS


@st.composite
def graphs(draw: st.DrawFn, names: list[str], empty: bool = True) -> tuple[tuple[tuple[int, int], str], ...]:
    nodes = draw(st.integers(1 if empty else 2, 6))
    chosen = []
    for j in range(1, nodes):
        inputs = draw(st.sets(st.integers(0, j - 1), min_size=1))
        chosen += [((i, j), draw(st.sampled_from(names))) for i in sorted(inputs)]
    return tuple(chosen)


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    task = draw(st.sampled_from(["sr", "denoise", "deblock"]))
    scale = draw(st.sampled_from([None, 2, 3, 4])) if task == "sr" else None
    return Genotype(task, draw(graphs(list(OPERATIONS))), draw(graphs(list(ATTENTIONS))), scale)
