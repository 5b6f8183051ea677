"""One supernet for several tasks: what is shared and what is not, each task's steps, and that tasks may disagree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from toy_search import Batches, ToySpace, run_toy

from jsnas.strategy import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.choices import block_choice
from jsnas.strategy.multi_task import TaskModule, share_weights, shared_optimizer
from jsnas.strategy.nni_api import LightningModule, ModelSpace
from jsnas.strategy.partial_channel import MixedEdge
from search_spaces import JointSearchSpace

SMALL = {"modules": 2, "channels": 16, "inner_channels": 8, "operation_nodes": 3, "attention_nodes": 3}


class Restores(LightningModule):
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return (self.model(batch[0]) - batch[1]).abs().mean()


class Times(LightningModule):
    """The network is to multiply by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.model(batch) - self.factor * batch).square().mean()


def supernets() -> list[JointSearchSpace]:
    spaces = [JointSearchSpace(task="sr", scale=2, **SMALL), JointSearchSpace(task="denoise", scale=1, **SMALL)]
    return [PartialChannelDARTS().mutate_model(space) for space in spaces]


def module_of(inner: LightningModule, space: ModelSpace, batches: Iterator[object], **settings: object) -> TaskModule:
    inner.set_model(space)
    values = {"partial": 1, "weight_warmup_iters": 0, "learning_rate": 0.05, "weight_decay": 0.0}
    return TaskModule(inner, PartialChannelSettings(**{**values, **settings}), lambda: next(batches))


def sgd(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=1e-3)


def test_the_body_is_one_object_and_architectures_heads_and_tails_are_not() -> None:
    sr, denoise = supernets()
    share_weights([sr, denoise])
    ours, theirs = dict(sr.named_parameters()), dict(denoise.named_parameters())
    shared = {name for name in ours if name in theirs and ours[name] is theirs[name]}
    body = {name for name in ours if name.startswith(("network.body.", "network.gather.", "network.fusion."))}
    assert shared == {name for name in body if "_arch_" not in name}
    assert any("edges.0_1.rdb_dil" in name for name in shared) and any("edges.0_1.esa" in name for name in shared)
    own = {name for name in theirs if ".edges.0_1.sa." in name}  # no candidate for super-resolution
    assert own and not own & set(ours)
    modules = [module_of(Restores(), space, iter([])) for space in (sr, denoise)]
    alphas = [{id(p) for p in module.arch_parameters()} for module in modules]
    assert len(alphas[0]) == len(alphas[1]) == 3 + 3 + 1 and not alphas[0] & alphas[1]
    optimizer = shared_optimizer(modules, sgd)
    learnt = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(learnt) == len(set(learnt)) and not set(learnt) & (alphas[0] | alphas[1])


def test_a_step_of_one_task_moves_the_body_and_leaves_the_others_own_parts() -> None:
    sr, denoise = supernets()
    share_weights([sr, denoise])
    torch.manual_seed(0)
    batch = (255 * torch.rand(2, 1, 16, 16), 255 * torch.rand(2, 1, 16, 16))
    modules = [module_of(Restores(), space, iter([batch]), partial=4) for space in (sr, denoise)]
    optimizer = shared_optimizer(modules, lambda weights: torch.optim.Adam(weights, lr=1e-3))
    for module in modules:
        module.prepare(optimizer, "32-true")
    before = {name: value.detach().clone() for name, value in sr.named_parameters()}
    alphas = [p.detach().clone() for p in modules[1].arch_parameters()]
    modules[1].training_step(batch, 0)
    moved = {name for name, value in sr.named_parameters() if not torch.equal(value, before[name])}
    assert "network.gather.weight" in moved and any("rdb_sep" in name for name in moved)
    assert all(name.startswith(("network.body.", "network.gather.", "network.fusion.")) for name in moved)
    assert not any("_arch_" in name for name in moved)
    assert all(not torch.equal(a, b) for a, b in zip(alphas, modules[1].arch_parameters(), strict=True))


@pytest.mark.parametrize("second_order", [False, True])
def test_a_task_alone_takes_the_steps_of_a_search_for_it(second_order: bool) -> None:
    expected, _ = run_toy(3, steps=20, second_order=second_order)
    space = PartialChannelDARTS(PartialChannelSettings(partial=1, seed=3)).mutate_model(ToySpace())
    architecture, weights = iter(Batches(1003)), iter(Batches(3))
    module = module_of(Times(2), space, architecture, weight_warmup_iters=5, seed=3, second_order=second_order)
    module.prepare(shared_optimizer([module], sgd), "32-true")
    for k in range(20):
        module.training_step(next(weights), k)
    assert module.iteration == 20
    for ours, theirs in zip(module.arch_parameters(), expected.arch_parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Scaled(nn.Module):
    """Multiplies by a fixed factor times a weight that all tasks share."""

    factor = 1.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.weight * x


class Half(Scaled):
    factor = 0.5


class Double(Scaled):
    factor = 2.0


class OneEdge(ModelSpace):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Module()
        self.network.body = nn.ModuleList(
            [block_choice("operation", (0, 1), 4, {"times_half": Half, "times_two": Double})]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network.body[0](x)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tasks_that_want_different_candidates_get_them_on_shared_weights(seed: int) -> None:
    settings = PartialChannelSettings(partial=1, seed=seed)
    spaces = [PartialChannelDARTS(settings).mutate_model(OneEdge()) for _ in range(2)]
    share_weights(spaces)
    modules = [
        module_of(Times(factor), space, iter(Batches(seed + 100)))
        for factor, space in zip((0.5, 2.0), spaces, strict=True)
    ]
    optimizer = shared_optimizer(modules, sgd)
    for module in modules:
        module.prepare(optimizer, "32-true")
    streams = [iter(Batches(seed)) for _ in modules]
    for k in range(60):
        for module, stream in zip(modules, streams, strict=True):
            module.training_step(next(stream), k)
    assert [module.export()["operation_0_1"] for module in modules] == ["times_half", "times_two"]
    edges = [next(m for m in space.modules() if isinstance(m, MixedEdge)) for space in spaces]
    assert edges[0]["times_half"].weight is edges[1]["times_half"].weight
