"""Gradients of the architecture parameters, first and second order (DARTS, Liu et al., ICLR 2019, Eq. 5-8).

Neither computes a gradient that nobody uses, and both leave the weights and every ``.grad`` as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Average = Callable[[list[Tensor]], list[Tensor]]


def alone(gradients: list[Tensor]) -> list[Tensor]:
    """The average over the processes where there is one process."""
    return gradients


def first_order(
    architecture_loss: Callable[[], Tensor], alphas: Sequence[Tensor], average: Average = alone
) -> tuple[Tensor, list[Tensor]]:
    """The loss on an architecture batch, and its gradients with respect to ``alphas``, weights held fixed.

    Args:
        architecture_loss: The loss, on this process's share of the batch.
        alphas: Architecture parameters.
        average: From this process's gradients to the mean over all processes.
    """
    loss = architecture_loss()
    gradients = torch.autograd.grad(loss, alphas, allow_unused=True)  # an edge before a chosen ``none`` has no part
    return loss.detach(), average(_filled(gradients, alphas))


def second_order(
    weight_loss: Callable[[], Tensor],
    architecture_loss: Callable[[], Tensor],
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    learning_rate: float,
    radius: float = 1e-2,
    average: Average = alone,
) -> tuple[Tensor, list[Tensor]]:
    """The same after one unrolled step of the weights, the Hessian product by central differences.

    With w' = w - xi grad_w L_train(w, alpha):
    grad_alpha L_val(w', alpha) - xi (grad_alpha L_train(w+, alpha) - grad_alpha L_train(w-, alpha)) / (2 eps),
    w+- = w +- eps grad_w' L_val(w', alpha), eps = radius / ||grad_w' L_val(w', alpha)||.

    Args:
        weight_loss: L_train, evaluated at the weights as they stand.
        architecture_loss: L_val.
        weights: All weights, changed in place while this runs and restored exactly.
        alphas: Architecture parameters.
        learning_rate: xi, the step of the unrolled update.
        radius: Length of the perturbation of the weights.
        average: From this process's gradients to the mean over all processes.
    """
    saved = [w.detach().clone() for w in weights]
    try:
        steps = _averaged(torch.autograd.grad(weight_loss(), weights, allow_unused=True), average)
        _shift(weights, steps, -learning_rate)
        loss = architecture_loss()
        gradients = torch.autograd.grad(loss, [*alphas, *weights], allow_unused=True)
        _restore(weights, saved)
        outer = _filled(gradients[: len(alphas)], alphas)
        inner = _averaged(gradients[len(alphas) :], average)
        norm = torch.stack([g.norm() for g in inner if g is not None]).norm()
        eps = radius / norm.clamp_min(1e-12).item()
        _shift(weights, inner, eps)
        above = _filled(torch.autograd.grad(weight_loss(), alphas, allow_unused=True), alphas)
        _restore(weights, saved)
        _shift(weights, inner, -eps)
        below = _filled(torch.autograd.grad(weight_loss(), alphas, allow_unused=True), alphas)
    finally:
        _restore(weights, saved)
    scale = learning_rate / (2 * eps)
    return loss.detach(), average([g - scale * (a - b) for g, a, b in zip(outer, above, below, strict=True)])


def _filled(gradients: Sequence[Tensor | None], alphas: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(a) if g is None else g for a, g in zip(alphas, gradients, strict=True)]


def _averaged(gradients: Sequence[Tensor | None], average: Average) -> list[Tensor | None]:
    """Averages what is there; the same is missing in every process."""
    there = iter(average([g for g in gradients if g is not None]))
    return [None if g is None else next(there) for g in gradients]


@torch.no_grad()
def _shift(weights: Sequence[Tensor], directions: Sequence[Tensor | None], length: float) -> None:
    for w, direction in zip(weights, directions, strict=True):
        if direction is not None:
            w.add_(direction, alpha=length)


@torch.no_grad()
def _restore(weights: Sequence[Tensor], saved: Sequence[Tensor]) -> None:
    for w, value in zip(weights, saved, strict=True):
        w.copy_(value)
