"""The Adam of a search is torch's, to the last bit."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from jsnas.strategy.moments import lay_out_moments
from trainers.steady_adam import SteadyAdam


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1), nn.Conv2d(4, 5, 1))
    return network, copy.deepcopy(network)


def both(weight_decay: float) -> tuple[list[nn.Sequential], list[torch.optim.Adam]]:
    ours, theirs = networks()
    optimizers = [
        SteadyAdam(ours.parameters(), 1e-2, (0.8, 0.99), weight_decay),
        torch.optim.Adam(theirs.parameters(), 1e-2, (0.8, 0.99), weight_decay=weight_decay, fused=True),
    ]
    return [ours, theirs], optimizers


def move(network: nn.Sequential, optimizer: torch.optim.Optimizer, layer: int, seed: int) -> float:
    """One step in which the first layer and another one have gradients."""
    optimizer.zero_grad()
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))

    def closure() -> torch.Tensor:
        loss = network[layer](network[0](x)).square().mean()
        loss.backward()
        return loss

    return float(optimizer.step(closure).detach())


def equal(networks: list[nn.Sequential]) -> bool:
    ours, theirs = (list(network.parameters()) for network in networks)
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_it_steps_as_torch_does(weight_decay: float) -> None:
    models, optimizers = both(weight_decay)
    for seed, layer in enumerate([1, 1, 1, 2, 1, 2, 2, 2]):  # other parameters have gradients now and then
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] *= 0.9
        losses = [move(model, optimizer, layer, seed) for model, optimizer in zip(models, optimizers, strict=True)]
        assert losses[0] == losses[1] and equal(models)
    states = [optimizer.state_dict()["state"] for optimizer in optimizers]
    assert [s["step"].item() for s in states[0].values()] == [s["step"].item() for s in states[1].values()]
    assert len({s["step"].item() for s in states[0].values()}) > 1


def test_it_is_saved_and_carried_on() -> None:
    models, optimizers = both(0.1)
    for seed in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            move(model, optimizer, 1, seed)
    file = io.BytesIO()
    torch.save(optimizers[0].state_dict(), file)
    file.seek(0)
    move(models[0], optimizers[0], 1, 9)  # this one is undone
    models[0].load_state_dict(models[1].state_dict())
    optimizers[0].load_state_dict(torch.load(file, weights_only=True))
    for seed in range(3, 6):
        for model, optimizer in zip(models, optimizers, strict=True):
            move(model, optimizer, 1, seed)
        assert equal(models)


def test_its_steps_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    models, optimizers = both(0)
    move(models[0], optimizers[0], 1, 0)
    monkeypatch.setattr(torch.optim.Adam, "_init_group", None)  # torch would need it
    move(models[0], optimizers[0], 1, 1)
    with pytest.raises(TypeError):
        move(models[0], optimizers[0], 2, 2)


@pytest.mark.parametrize("before", [torch.channels_last, torch.contiguous_format])
def test_a_state_from_where_weights_lay_otherwise_is_laid_out_as_they_are(before: torch.memory_format) -> None:
    models, optimizers = both(0.1)
    after = torch.contiguous_format if before is torch.channels_last else torch.channels_last
    models[0].to(memory_format=before)
    for seed in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            move(model, optimizer, 1, seed)
    models[0].to(memory_format=after)
    optimizers[0].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    lay_out_moments(optimizers[0])
    for seed in range(3, 6):
        for model, optimizer in zip(models, optimizers, strict=True):
            move(model, optimizer, 1, seed)
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
