"""The cost of a network is the sum of a table, exactly, and its expectation is differentiable."""

from __future__ import annotations

import random

import pytest
import torch

from jsnas.candidates import TASK_ATTENTIONS
from jsnas.cost import cost_of
from jsnas.cost_table import CostTable, counted_table, plain_genotype
from jsnas.errors import InputError
from jsnas.genotype import Genotype, edge_list
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS


@pytest.mark.parametrize("unit", ["parameters", "multiply_adds"])
@pytest.mark.parametrize(("task", "scale"), [("sr", 3), ("denoise", 1)])
def test_the_table_adds_up_to_the_counted_cost(unit: str, task: str, scale: int) -> None:
    draw = random.Random(0)
    settings = NetworkSettings(3 if task == "sr" else 1, scale, modules=2, channels=32)
    table = counted_table(unit, settings, plain_genotype(task, 4, 3), output_size=(96, 123))
    for _ in range(8):
        operations = [
            (edge, draw.choice(list(OPERATIONS))) for edge in edge_list(4) if edge[0] == 0 or draw.random() < 0.7
        ]
        attentions = [(edge, draw.choice(TASK_ATTENTIONS[task])) for edge in edge_list(3)]
        genotype = Genotype(task, tuple(operations), tuple(attentions))
        cost = cost_of(JSNet(genotype, settings), (96, 123))
        assert table.predicted(genotype) == (cost.parameters if unit == "parameters" else cost.multiply_adds)


def test_expected_cost_by_hand() -> None:
    table = CostTable(
        "parameters", {"operation": {"none": 0.0, "skip": 0.0, "a": 10.0}, "attention": {"b": 3.0}}, 100.0
    )
    alpha = torch.tensor([5.0, 0.0, 0.0], requires_grad=True)
    weights = torch.softmax(alpha, 0).unbind()
    expected = table.expected(
        {
            "operation_0_1": dict(zip(("none", "skip", "a"), weights, strict=True)),
            "attention_0_1": {"b": torch.ones(())},
        }
    )
    assert expected.item() == pytest.approx(100 + 5 + 3)  # none never wins, so skip and a share alike
    (gradient,) = torch.autograd.grad(expected, alpha)
    assert gradient[2] == pytest.approx(2.5) and gradient[1] == pytest.approx(-2.5) and abs(gradient[0]) < 1e-6
    assert table.mean(Genotype.from_names("sr", ["skip"], ["b"])) == pytest.approx(108)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'parameters'"):
        counted_table("parameter", NetworkSettings(3, 2, 1), plain_genotype("sr", 2, 2))
