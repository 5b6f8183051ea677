"""The mean loss between two lines of the log, and a stop with the very step when it is no longer a number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from jsnas.errors import DivergedError
from trainers.ranks import Ranks


class LossMeter:
    """Adds up losses on their device; the host waits for it only when the sum is read.

    Args:
        device: Where the losses are computed.
        advice: What to try when a loss is NaN or infinite, the end of a sentence.
        ranks: The processes of the run; all of them read, check and save at the same iterations.
    """

    def __init__(self, device: torch.device, advice: str, ranks: Ranks | None = None) -> None:
        self._ranks = ranks or Ranks()
        self._advice = advice
        self._sum = torch.zeros((), device=device)
        self._finite_steps = torch.zeros((), dtype=torch.int64, device=device)
        self._count = 0

    def add(self, loss: Tensor) -> None:
        """Takes the loss of one step, a tensor without dimensions."""
        self._sum = self._sum + loss.detach()
        self._finite_steps = self._finite_steps + torch.isfinite(self._sum)  # a sum never turns finite again
        self._count += 1

    def check(self, iteration: int, weights: Iterable[Tensor] = ()) -> None:
        """Stops a run that has diverged, before anything of it is kept.

        Args:
            iteration: Iterations done.
            weights: Tensors that must be finite too: the last step may spoil them under a finite loss.

        Raises:
            DivergedError: If a loss since the last reading or a weight is NaN or infinite; it names the iteration.
        """
        total = self._ranks.mean(self._sum).item()
        if not math.isfinite(total):
            finite = [0.0] * self._ranks.count
            finite[self._ranks.rank] = float(self._finite_steps.item())
            first = iteration - self._count + int(min(self._ranks.sum(finite))) + 1
            raise DivergedError(f"The loss became {_word(total)} in iteration {first}; {self._advice}")
        if not all(bool(torch.isfinite(weight).all()) for weight in weights if weight.is_floating_point()):
            raise DivergedError(f"A weight was no longer finite after iteration {iteration}; {self._advice}")

    def read(self, iteration: int) -> float:
        """The mean since the last reading, which ends here.

        Raises:
            DivergedError: As ``check``.
        """
        self.check(iteration)
        mean = (self._ranks.mean(self._sum) / self._count).item()
        self._sum, self._finite_steps, self._count = (
            torch.zeros_like(self._sum),
            torch.zeros_like(self._finite_steps),
            0,
        )
        return mean

    def state(self) -> dict[str, Any]:
        """What a run needs to carry on; take it after ``check``."""
        return {"loss_sum": self._ranks.mean(self._sum), "loss_count": self._count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Puts back what ``state`` gave."""
        self._sum, self._count = state["loss_sum"].to(self._sum.device), int(state["loss_count"])
        self._finite_steps = torch.full_like(self._finite_steps, self._count)


def resuming_advice(learning_rate: str) -> str:
    """What to try in a run that can be carried on.

    Args:
        learning_rate: Dotted name of its setting.
    """
    return (
        f"what was saved before is kept: give a lower {learning_rate}, or precision 32-true, and carry on with "
        "--resume."
    )


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"
