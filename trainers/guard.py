"""Watches a one-shot search for collapse: the derivation filling up with skip connections (R-DARTS, DARTS+)."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch

from jsnas.genotype import ATTENTION, OPERATION, Genotype
from jsnas.strategy.alternating import AlternatingModule

_FEWEST_EDGES = 3


def skip_shares(genotype: Genotype) -> dict[str, float]:
    """Share of ``skip`` among the edges of each part that is there."""
    parts = {OPERATION: genotype.operations, ATTENTION: genotype.attentions}
    return {part: sum(name == "skip" for _, name in edges) / len(edges) for part, edges in parts.items() if edges}


def entropies(probabilities: dict[str, dict[Any, float]]) -> dict[str, float]:
    """Mean entropy of the edges' candidates in each part, from 0 (decided) to 1 (all alike)."""
    found: dict[str, list[float]] = {}
    for label, weights in probabilities.items():
        part, _, rest = label.partition("_")
        if len(weights) > 1 and not rest.startswith("inputs_"):
            entropy = -sum(p * math.log(p) for p in weights.values() if p > 0)
            found.setdefault(part, []).append(entropy / math.log(len(weights)))
    return {part: sum(values) / len(values) for part, values in found.items()}


def _skip_weight(probabilities: dict[str, dict[Any, float]], part: str) -> float:
    """Mean weight of ``skip`` on the edges of a part."""
    weights = [w["skip"] for label, w in probabilities.items() if label.startswith(f"{part}_") and "skip" in w]
    return sum(weights) / max(1, len(weights))


class CollapseGuard:
    """Looks at each derived genotype of a search and acts where a part has collapsed to skips.

    It has where both their share of its edges and their mean weight over all of them are above a limit; early on a
    breath of difference decides the derivation, so the share alone says little.
    ``warn`` says so once. ``stop`` ends the search with the last genotype that was within the limit. ``rollback``
    puts the architecture parameters and their optimizer back to where they were then, halves their step, and goes on.
    A part of fewer than three edges is not judged: a skip or two on it is a choice, not a collapse.

    Args:
        action: ``"off"``, ``"warn"``, ``"stop"`` or ``"rollback"``.
        limit: Share of skips among the edges derived for a part, from 0 to 1.
        weight: Mean weight of ``skip`` on the edges of the part, from 0 to 1.
        first: Iterations before which nothing is judged.
    """

    def __init__(self, action: str, limit: float, weight: float, first: int) -> None:
        self.action, self.limit, self.weight, self.first = action, limit, weight, first
        self.rollbacks = 0
        self.stopped: str | None = None
        self._warned = False
        self._healthy: dict[str, Any] | None = None

    def check(
        self,
        module: AlternatingModule,
        genotype: Genotype,
        probabilities: dict[str, dict[Any, float]],
        iteration: int,
    ) -> dict[str, Any] | None:
        """Judges a genotype.

        Args:
            module: The search.
            genotype: What it derives now.
            probabilities: The candidates' weights, by label.
            iteration: Iterations done.

        Returns:
            The sample to end with where the search is to stop now, else ``None``.
        """
        if self.action == "off" or iteration <= self.first:
            return None
        edges = {OPERATION: len(genotype.operations), ATTENTION: len(genotype.attentions)}
        shares = {part: share for part, share in skip_shares(genotype).items() if edges[part] >= _FEWEST_EDGES}
        crowded = [part for part, share in shares.items() if share > self.limit]
        if not crowded and self.action in ("stop", "rollback"):
            self._healthy = self._snapshot(module)
        part = next((part for part in crowded if _skip_weight(probabilities, part) > self.weight), None)
        if part is None:
            return None
        finding = (
            f"By iteration {iteration} {shares[part]:.0%} of the {part}s derived are skip connections, above "
            f"search.guard_skip_share of {self.limit:.0%}"
        )
        if self.action == "stop":
            kept = "the last genotype below it" if self._healthy else "this genotype, for none below it was seen"
            self.stopped = f"{finding}; the search stops with {kept}"
            self._say(self.stopped)
            sample: dict[str, Any] = self._healthy["sample"] if self._healthy else module.export()
            return sample
        if self.action == "rollback" and self._healthy is not None:
            self._put_back(module)
            self.rollbacks += 1
            self._say(f"{finding}; the architecture goes back to where it was below it, with half the step")
            return None
        self._say(
            f"{finding}; lower strategy.args.learning_rate, lengthen the warm-up, or set search.guard to rollback"
        )
        return None

    def state(self) -> dict[str, Any]:
        """What a search that is carried on needs."""
        return {"healthy": self._healthy, "rollbacks": self.rollbacks, "warned": self._warned}

    def load_state(self, state: dict[str, Any]) -> None:
        """Puts back what ``state`` gave."""
        self._healthy, self.rollbacks, self._warned = state["healthy"], int(state["rollbacks"]), bool(state["warned"])

    def _say(self, sentence: str) -> None:
        if not self._warned:
            warnings.warn(f"{sentence}.", stacklevel=2)
        self._warned = True

    def _snapshot(self, module: AlternatingModule) -> dict[str, Any]:
        return {
            "sample": module.export(),
            "parameters": [p.detach().clone() for p in module.arch_parameters()],
            "optimizer": copy.deepcopy(module.architecture_optimizer().state_dict()),
        }

    def _put_back(self, module: AlternatingModule) -> None:
        assert self._healthy is not None
        optimizer = module.architecture_optimizer()
        rates = [group["lr"] / 2 for group in optimizer.param_groups]
        with torch.no_grad():
            for parameter, value in zip(module.arch_parameters(), self._healthy["parameters"], strict=True):
                parameter.copy_(value)
        optimizer.load_state_dict(copy.deepcopy(self._healthy["optimizer"]))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
