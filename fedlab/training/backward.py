"""One batch's loss and its gradient: the one place where a network is called to be trained."""

from __future__ import annotations

import torch

from fedlab.models.layout import FlatModel
from fedlab.models.representation import represented
from fedlab.training.draw import merged, parted
from fedlab.training.loss_scale import LossScale
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch, Objective


def add_gradient(
    task: LocalTask,
    objective: Objective,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weight: float = 1.0,
) -> torch.Tensor:
    """Add the gradient of task loss and batch terms to the model's; return the task loss.

    Args:
        task: Model and data.
        objective: What is descended; its parameter terms are not looked at.
        inputs, targets: The batch.
        weight: What the gradient is multiplied by.

    Returns:
        The task loss, a scalar without a graph, which is not multiplied.

    Raises:
        FedlabError: If the gradient is not finite in float16.
    """
    if task.scale is not None:
        return _add_scaled(task, task.scale, objective, inputs, targets, weight)
    loss, whole = losses_of(task, objective, inputs, targets)
    (whole if weight == 1 else whole * weight).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def losses_of(
    task: LocalTask, objective: Objective, inputs: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the task loss of a batch, and its sum with the batch terms."""
    views = task.draw.views
    taken = merged(inputs, views)
    if not objective.batch_terms:
        loss = objective.criterion(parted(task.network.model.call(taken), views), targets)
        return loss, loss
    outputs, representations = (parted(part, views) for part in represented(task.network, taken))
    loss = objective.criterion(outputs, targets)
    batch = Batch(task, inputs, targets, outputs, representations)
    return loss, sum((term(batch) for term in objective.batch_terms), loss)


def _add_scaled(
    task: LocalTask,
    scale: LossScale,
    objective: Objective,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weight: float,
) -> torch.Tensor:
    """Do what :func:`add_gradient` does, with loss scaling, until the gradient is finite."""
    model = task.network.model
    before, statistics = model.gradient.clone(), [part.clone() for part in _statistics(model)]
    while True:
        model.zero_gradient()
        loss, whole = losses_of(task, objective, inputs, targets)
        (whole * (weight * scale.factor)).backward()  # type: ignore[no-untyped-call]
        if scale.accepts(model.gradient, whole.detach()):
            model.gradient.add_(before)
            return loss.detach()
        for part, kept in zip(_statistics(model), statistics, strict=True):
            part.copy_(kept)


def _statistics(model: FlatModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values of a model beside those that are trained: running statistics."""
    trained = model.layout.trained
    return model.weights[: trained.start], model.weights[trained.stop :]
