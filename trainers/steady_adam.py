"""Adam for the thousands of small parameters of a supernet on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override


class SteadyAdam(torch.optim.Adam):
    """torch's fused Adam, its numbers and its state, looking up what it steps once.

    torch gathers and sorts parameters, gradients and moments anew in each step, and counts the step for each of them:
    on a CPU that takes longer than the step itself. Where parameters are elsewhere, or other ones have a gradient than
    before, torch does it.

    Args:
        parameters: What it steps.
        learning_rate: Its step.
        betas: Its decay rates.
        weight_decay: Its weight decay.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=True)
        self._known: _Known | None = None

    @override
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what the closure does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._known is None or not self._known.step(self.param_groups[0]):
            self._known = None
            super().step()
            if len(self.param_groups) == 1:
                self._known = _look_up(self.param_groups[0]["params"], self.state)
        return loss

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the state of another."""
        self._known = None
        super().load_state_dict(state_dict)

    @override
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._known = None


class _Known:
    """Parameters that have gradients, with their state; those that have none; the steps of all in one tensor."""

    def __init__(self, moving: list[Tensor], resting: list[Tensor], state: Any) -> None:
        self.moving, self.resting = moving, resting
        self.means, self.squares = ([state[p][name] for p in moving] for name in ("exp_avg", "exp_avg_sq"))
        self.count = torch.stack([state[p]["step"] for p in moving])
        self.steps = list(self.count.unbind())
        for parameter, step in zip(moving, self.steps, strict=True):
            state[parameter]["step"] = step

    def step(self, group: dict[str, Any]) -> bool:
        """Steps, if the same parameters have gradients as before; says whether it did."""
        gradients = [p.grad for p in self.moving if p.grad is not None]
        if len(gradients) < len(self.moving) or any(p.grad is not None for p in self.resting):
            return False
        self.count += 1
        torch._fused_adam_(
            self.moving,
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            amsgrad=False,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        return True


def _look_up(parameters: list[Tensor], state: Any) -> _Known | None:
    moving = [p for p in parameters if p.grad is not None]
    if not moving or any(p.device.type != "cpu" or p.dtype != torch.float32 for p in moving):
        return None
    return _Known(moving, [p for p in parameters if p.grad is None], state)
