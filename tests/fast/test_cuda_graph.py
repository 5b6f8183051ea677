"""A recorded step gives what the step gives, which needs a GPU to see."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.branches import branch
from jsnas.fast.cuda_graph import WARM_UP, RecordedStep, measured_convolutions

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="records CUDA graphs")


class Forked(nn.Module):
    """Two branches that read one map, of which one reads the other's end."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.mul(2)
        left, right = branch(lambda: torch.relu(self.a(x))), branch(lambda: self.b(torch.sigmoid(x)))
        y = left()
        return y * right() + self.c(y)


def trained(record: bool, iterations: int, rate: Callable[[int], float] = lambda k: 1e-3) -> list[Tensor]:
    """The weights after some steps of Adam on random batches."""
    torch.manual_seed(0)
    device = torch.device("cuda")
    network = Forked().double().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    draw = torch.Generator(device).manual_seed(1)

    def step(x: Tensor) -> tuple[Tensor, ...]:
        loss = F.mse_loss(network(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return (loss.detach(),)

    take = RecordedStep(step, [optimizer], network, device) if record else step
    early = {}
    losses = []
    for k in range(iterations):
        optimizer.param_groups[0]["lr"] = rate(k)
        if k == 12:  # as when a guard goes back to an earlier state
            optimizer.load_state_dict(early)
        losses.append(take(torch.rand(2, 8, 33, 31, generator=draw, dtype=torch.float64, device=device))[0])
        if k == 6:
            early = copy.deepcopy(optimizer.state_dict())
    assert not optimizer.param_groups[0]["capturable"]
    if isinstance(take, RecordedStep):
        assert take._graph is not None
    return [torch.stack(losses), *network.parameters()]


@on_a_gpu
@pytest.mark.parametrize("rate", [lambda k: 1e-3, lambda k: 1e-3 if k < 9 else 5e-4], ids=["steady", "halved"])
def test_a_recorded_training_is_the_training(rate: Callable[[int], float]) -> None:
    for found, expected in zip(trained(True, 20, rate), trained(False, 20, rate), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@on_a_gpu
def test_a_step_that_waits_for_a_number_goes_on_as_it_is_and_says_so() -> None:
    device = torch.device("cuda")
    step = RecordedStep(lambda x: (x * x.sum().item(),), [], nn.Identity(), device)
    x = torch.ones(3, device=device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [step(x)[0].tolist() for _ in range(WARM_UP + 2)]
    assert results == [[3.0] * 3] * (WARM_UP + 2)
    assert len([w for w in caught if "could not be recorded" in str(w.message)]) == 1


@pytest.mark.parametrize("deterministic", [False, True])
def test_convolutions_are_measured_within_unless_determinism_is_asked_for(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", deterministic)
    with pytest.raises(ZeroDivisionError), measured_convolutions():
        assert torch.backends.cudnn.benchmark is not deterministic
        1 / 0  # noqa: B018
    assert not torch.backends.cudnn.benchmark
