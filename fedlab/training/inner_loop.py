"""Gradients at other weights than a model's own, and steps that can be differentiated."""

from __future__ import annotations

import torch

from fedlab.training.task import LocalTask
from fedlab.training.terms import TaskLoss

Pair = tuple[torch.Tensor, torch.Tensor]


def loss_at(task: LocalTask, criterion: TaskLoss, at: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Return the task loss of a batch, a scalar, with other weights in place of the model's.

    The module is called through ``torch.func.functional_call``, so that gradients flow to ``at``.
    Running statistics of batch norm in training mode are the model's own, and change in place.

    Args:
        task: The model.
        criterion: The task loss.
        at: (P,) weights in place of the trained slice.
        pair: Prepared inputs and targets.
    """
    model = task.network.model
    offset = model.layout.trained.start
    named = {entry.name: entry.view(at, offset) for entry, _ in model.trained}
    inputs, targets = pair
    return criterion(model.call(inputs, named), targets)


def gradient_at(task: LocalTask, criterion: TaskLoss, at: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Return (P,) the gradient of :func:`loss_at`, without a graph."""
    return value_and_gradient_at(task, criterion, at, pair)[1]


def value_and_gradient_at(
    task: LocalTask, criterion: TaskLoss, at: torch.Tensor, pair: Pair
) -> Pair:
    """Return :func:`loss_at`, a scalar, and (P,) its gradient, without a graph."""
    weights = at.detach().requires_grad_()
    loss = loss_at(task, criterion, weights, pair)
    return loss.detach(), _gradient(loss, weights, False)


def adapted(
    task: LocalTask,
    criterion: TaskLoss,
    start: torch.Tensor,
    support: Pair,
    rates: torch.Tensor | float,
    steps: int,
    second_order: bool,
) -> torch.Tensor:
    """Return (P,) the weights after full-batch steps θ ← θ − α ∘ ∇L(θ).

    Args:
        task: The model.
        criterion: The task loss L.
        start: (P,) where they begin; the result depends on it in autograd's graph.
        support: The batch.
        rates: α, a number or (P,) a rate for each weight.
        steps: How many.
        second_order: Whether gradients flow through ∇L, too; else it counts as a constant.
    """
    weights = start
    for _ in range(steps):
        inner = weights if second_order else weights.detach().requires_grad_()
        gradient = _gradient(loss_at(task, criterion, inner, support), inner, second_order)
        weights = weights - rates * gradient
    return weights


def _gradient(loss: torch.Tensor, weights: torch.Tensor, create_graph: bool) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, weights, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(weights) if found is None else found
