"""A budget in the search: a target or a weight on parameters, multiply-adds or measured latency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jsnas.cost import cost_of
from jsnas.cost_table import CostTable, counted_table, plain_genotype
from jsnas.errors import InputError
from jsnas.genotype import EXCLUDED, Genotype
from jsnas.latency import latency_table, measure_latency
from jsnas.sample import genotype_from_sample
from trainers.config import Config
from trainers.plugins import candidates
from trainers.streams import pick_device
from trainers.trial import search_size, trial_network


@dataclass(frozen=True)
class Budget:
    """What networks may cost, and what it costs a search to exceed it.

    Attributes:
        config: The search's settings.
        table: Cost of each candidate.
        reference: The target, or the mean cost over the space where there is none.
    """

    config: Config
    table: CostTable
    reference: float

    @property
    def target(self) -> float | None:
        """Largest cost that is within the budget, in the table's unit."""
        return self.config.search.budget_target

    def penalty(self, cost: Tensor) -> Tensor:
        """What is added to a loss: the weight times the cost relative to the target, above it only if there is one."""
        ratio = cost / self.reference
        return self.config.search.budget_weight * (ratio if self.target is None else torch.relu(ratio - 1))

    def expected_penalty(self, probabilities: dict[str, dict[str, Tensor]]) -> Tensor:
        """The penalty of the mean cost under the candidates' probabilities; differentiable."""
        return self.penalty(self.table.expected(probabilities))

    def sample_penalty(self, sample: dict[str, Any]) -> float:
        """The penalty of one architecture."""
        return float(self.penalty(torch.tensor(self.predicted(sample))))

    def predicted(self, sample: dict[str, Any]) -> float:
        """Cost of one architecture by the table."""
        return self.table.predicted(genotype_from_sample(sample, self.config.task))

    def accepts(self, sample: dict[str, Any]) -> bool:
        """Whether an architecture is within the target."""
        return self.target is None or self.predicted(sample) <= self.target

    def report(self, genotype: Genotype) -> dict[str, Any]:
        """The predicted and the measured cost of what was found."""
        network, size = trial_network(self.config, genotype), self.config.search.budget_size
        if self.table.unit == "seconds":
            measured = measure_latency(network, pick_device(self.config.device), size)
        else:
            cost = cost_of(network, size)
            measured = float(cost.parameters if self.table.unit == "parameters" else cost.multiply_adds)
        return {
            "unit": self.table.unit,
            "predicted": self.table.predicted(genotype),
            "measured": measured,
            "target": self.target,
            "output_size": list(size),
        }


def make_budget(config: Config) -> Budget | None:
    """The budget that the config asks for; latencies are measured now, unless they are in the cache.

    Raises:
        InputError: If no network of the space is within the target.
    """
    if config.search.budget is None:
        return None
    with torch.random.fork_rng():  # a search must not depend on whether latencies were in the cache
        return _make_budget(config)


def _make_budget(config: Config) -> Budget:
    s = config.search
    assert s.budget is not None
    plain = plain_genotype(config.task, *s.nodes, s.inputs)
    operations, attentions = candidates(config)
    settings = search_size(config)
    if s.budget == "latency":
        device = pick_device(config.device)
        table = latency_table(settings, plain, device, operations, attentions, s.budget_size)
    else:
        table = counted_table(s.budget, settings, plain, operations, attentions, s.budget_size)
    least = table.rest + sum(
        len(edges)
        * min(cost for name, cost in table.edges[part].items() if name != EXCLUDED or len(table.edges[part]) == 1)
        for part, edges in plain.parts
        if edges
    )
    if s.budget_target is not None and least > s.budget_target:
        raise InputError(
            f"The target of {s.budget_target:,g} {table.unit} is below the {least:,.4g} of the smallest network in the "
            "space; raise search.budget_target or search with fewer modules or channels."
        )
    return Budget(config, table, s.budget_target if s.budget_target is not None else table.mean(plain))


def budget_sentence(report: dict[str, Any]) -> str:
    """A report in words."""
    unit = str(report["unit"]).replace("_", "-")
    form = "{:.4g}" if unit == "seconds" else "{:,.0f}"
    predicted, measured = form.format(report["predicted"]), form.format(report["measured"])
    target = "" if report["target"] is None else f"; the target was {form.format(report['target'])}"
    return f"Predicted {predicted} {unit}, measured {measured}{target}."
