"""Where the architectures of several tasks differ, edge by edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsnas.genotype import Genotype, edge_name


def differences(genotypes: Mapping[str, Genotype]) -> dict[str, Any]:
    """What stands on each edge in each genotype, and on how many they are not all alike.

    Args:
        genotypes: By the label of the task.
    """
    edges: dict[str, dict[str, str | None]] = {}
    for part in ("operations", "attentions"):
        chosen = {label: dict(getattr(genotype, part)) for label, genotype in genotypes.items()}
        for edge in sorted({edge for each in chosen.values() for edge in each}, key=lambda e: (e[1], e[0])):
            edges[f"{part[:-1]} {edge_name(edge)}"] = {label: each.get(edge) for label, each in chosen.items()}
    differing = sum(len(set(names.values())) > 1 for names in edges.values())
    return {"differing": differing, "of": len(edges), "edges": edges}


def differences_table(found: Mapping[str, Any]) -> str:
    """The differences as a Markdown table, an edge a row; ``≠`` where the tasks differ."""
    labels = list(next(iter(found["edges"].values())))
    rows = [f"| edge | {' | '.join(labels)} | |", "|---" * (len(labels) + 2) + "|"]
    for edge, names in found["edges"].items():
        cells = " | ".join(names[label] or "pruned" for label in labels)
        rows.append(f"| {edge} | {cells} | {'≠' if len(set(names.values())) > 1 else ''} |")
    return "\n".join(rows)
