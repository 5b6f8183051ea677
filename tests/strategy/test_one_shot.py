"""NNI's one-shot strategies as mended: order, export, temperature, and which candidates run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from jsnas.strategy import (
    DartsSettings,
    GumbelSettings,
    MendedDARTS,
    MendedGumbelDARTS,
    MendedProxyless,
    MendedRandomOneShot,
    RandomOneShotSettings,
)
from jsnas.strategy.alternating import AlternatingModule, DifferentiableSettings
from jsnas.strategy.choices import block_choice
from jsnas.strategy.nni_api import GumbelSoftmax, LightningModule, ModelSpace
from jsnas.strategy.one_shot import OnePathLayer
from search_spaces import JointSearchSpace

DIFFERENTIABLE = {
    "darts": lambda seed=0: MendedDARTS(DartsSettings(seed=seed)),
    "gumbel": lambda seed=0: MendedGumbelDARTS(GumbelSettings(seed=seed)),
    "proxyless": lambda seed=0: MendedProxyless(DifferentiableSettings(seed=seed)),
}


class OneEdge(ModelSpace):
    def __init__(self) -> None:
        super().__init__()
        makers = {
            "a": lambda c: nn.Conv2d(c, c, 1),
            "b": lambda c: nn.Conv2d(c, c, 3, padding=1),
            "c": lambda c: nn.Identity(),
        }
        self.edge = block_choice("operation", (0, 1), 2, makers)


class Recipe(LightningModule):
    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.model(batch).square().mean()


def search_module(strategy, **space) -> AlternatingModule:
    recipe = Recipe()
    module = strategy.configure_oneshot_module(recipe)
    sizes = {"modules": 2, "channels": 16, "inner_channels": 8, **space}
    module.set_model(strategy.mutate_model(JointSearchSpace(**sizes)))
    return module


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_parameters_come_once_in_the_order_of_the_network_and_from_the_seed(name: str) -> None:
    module = search_module(DIFFERENTIABLE[name]())
    parameters = module.arch_parameters()
    assert len(parameters) == 12 == len({id(p) for p in parameters})
    by_label = {label: edge._arch_alpha for label, edge in module.mixed_edges().items()}
    assert [id(p) for p in parameters] == [id(p) for p in by_label.values()]
    assert list(by_label)[:3] == ["operation_0_1", "operation_0_2", "operation_1_2"]
    torch.manual_seed(99)  # the global generator plays no part
    again = search_module(DIFFERENTIABLE[name]()).arch_parameters()
    other = search_module(DIFFERENTIABLE[name](1)).arch_parameters()
    assert all(map(torch.equal, parameters, again)) and not any(map(torch.equal, parameters, other))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_export_is_the_heaviest_candidate_but_none_each_time(name: str) -> None:
    module = search_module(DIFFERENTIABLE[name]())
    with torch.no_grad():
        for label, edge in module.mixed_edges().items():
            edge._arch_alpha.zero_()
            edge._arch_alpha[edge.names.index("esa" if label.startswith("attention") else "rdb_dil")] = 1.0
            if "none" in edge.names:
                edge._arch_alpha[edge.names.index("none")] = 2.0
    exported = [module.export() for _ in range(3)]
    assert exported[0] == exported[1] == exported[2]
    assert {exported[0][f"operation_{e}"] for e in ("0_1", "0_2", "1_2", "0_3")} == {"rdb_dil"}
    assert {exported[0][f"attention_{e}"] for e in ("0_1", "0_2", "1_2", "0_3")} == {"esa"}
    assert {type(label) for label in exported[0]} == {str}
    probabilities = module.export_probs()
    assert probabilities == module.export_probs()
    expected = torch.softmax(torch.tensor([2.0] + [0.0] * 5 + [1.0]), 0)
    assert probabilities["operation_0_1"]["none"] == pytest.approx(expected[0].item())
    assert sum(probabilities["attention_0_1"].values()) == pytest.approx(1)


def test_gumbel_cools_down_by_iterations_and_is_quiet_in_validation() -> None:
    strategy = MendedGumbelDARTS(GumbelSettings(temperature=(1.0, 0.2), annealing_iters=10))
    module = search_module(strategy)
    module.on_train_start()
    temperatures = []
    for module.iteration in (0, 5, 10, 20):
        module.start_iteration()
        temperatures.append([m.tau for m in module.modules() if isinstance(m, GumbelSoftmax)])
    assert len(temperatures[0]) >= 12
    for found, expected in zip(temperatures, (1.0, 0.6, 0.2, 0.2), strict=True):
        assert found == pytest.approx([expected] * len(found))
    x = 255 * torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        noisy = [module.model(x) for _ in range(2)]
        module.eval()
        quiet = [module.model(x) for _ in range(2)]
    assert not torch.equal(*noisy) and torch.equal(*quiet)


def test_proxyless_runs_the_other_candidates_in_the_architecture_step_only() -> None:
    module = search_module(MendedProxyless(), modules=1)
    module.on_train_start()
    ran: list[str] = []
    for name, block in module.model.named_modules():
        parent, _, last = name.rpartition(".")
        if isinstance(module.model.get_submodule(parent) if parent else None, OnePathLayer) and last != "_softmax":
            block.register_forward_hook(lambda *_, name=name: ran.append(name))
    x = 255 * torch.rand(1, 3, 16, 16)
    for moves, expected in ((False, 12), (True, 6 * 7 + 6 * 5)):
        ran.clear()
        torch.manual_seed(3)
        module.start_step(moves_architecture=moves)
        loss = module.training_module.training_step(x, 0)
        parameters = module.arch_parameters() if moves else module.weight_parameters()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        assert any(g is not None and g.any() for g in gradients)
        if moves:  # where a path was cut by `none`, what lies before it gets no gradient and need not run
            assert 12 < len(ran) <= expected
        else:
            assert len(ran) == expected


def test_proxyless_gradient_is_that_of_the_mixture_at_the_sampled_path() -> None:
    """The gradient of alpha is sum_j <dL/dy, o_j> p_j (1[i = j] - p_i) (ProxylessNAS, Eq. 4), here by hand."""
    strategy = MendedProxyless()
    space = strategy.mutate_model(OneEdge())
    layer = space.edge
    assert isinstance(layer, OnePathLayer)
    alpha = layer._arch_alpha
    with torch.no_grad():
        alpha.copy_(torch.tensor([0.3, -0.2, 0.5]))
    layer.resample({layer.label: "b"})
    layer.moves_architecture = True
    x, direction = torch.randn(1, 2, 5, 5), torch.randn(1, 2, 5, 5)
    (gradient,) = torch.autograd.grad((layer(x) * direction).sum(), alpha)
    outputs = torch.stack([(block(x) * direction).sum() for block in (layer[name] for name in layer.names)]).detach()
    p = torch.softmax(alpha.detach(), 0)
    torch.testing.assert_close(gradient, p * (outputs - (p * outputs).sum()), rtol=1e-4, atol=1e-5)


def test_random_paths_are_a_function_of_seed_and_iteration() -> None:
    first, second = (search_module(MendedRandomOneShot(RandomOneShotSettings(seed=4))) for _ in range(2))
    other = search_module(MendedRandomOneShot(RandomOneShotSettings(seed=5)))
    draws = [[m._draw(k) for k in range(6)] for m in (first, second, other)]
    assert draws[0] == draws[1] != draws[2]
    assert len({str(sample) for sample in draws[0]}) == 6


def test_the_controller_is_kept_and_exports_its_most_probable_choices() -> None:
    pytest.importorskip("tianshou")
    from jsnas.strategy import EnasSettings, MendedENAS

    torch.manual_seed(0)
    module = search_module(MendedENAS(EnasSettings()))
    policy = module.policy
    module.set_model(module.model)  # what NNI does before it exports
    assert module.policy is policy
    assert module.export() == module.export()
    sample, probabilities = module.export(), module.export_probs()
    assert sample.keys() == probabilities.keys() and len(sample) == 12
    assert all(sample[label] == max(weights, key=weights.get) for label, weights in probabilities.items())
    assert len({str(module.resample()) for _ in range(5)}) > 1  # while it still draws when it trains
