"""One batch's loss and its gradient: the one place where a network is called to be trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from fedlab.errors import FedlabError
from fedlab.models.layout import FlatModel
from fedlab.models.representation import represented
from fedlab.training.draw import merged, parted
from fedlab.training.loss_scale import LossScale
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch, Objective


@dataclass(frozen=True)
class Piece:
    """Some examples of a batch, or all of them.

    Attributes:
        inputs, targets: Theirs.
        counted: Their share of the batch's counted targets, which the task loss is a mean over; a
            tensor where counting them happens on a device.
        share: Their share of the batch's examples, which batch terms are means over.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    counted: torch.Tensor | float = 1.0
    share: float = 1.0


def add_gradient(
    task: LocalTask,
    objective: Objective,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weight: float = 1.0,
) -> torch.Tensor:
    """Add the gradient of task loss and batch terms to the model's; return the task loss.

    Where the task says so, pieces of the batch are computed one after the other, whose gradients
    add up to the batch's.

    Args:
        task: Model and data.
        objective: What is descended; its parameter terms are not looked at.
        inputs, targets: The batch.
        weight: What the gradient is multiplied by.

    Returns:
        The task loss, a scalar without a graph, which is not multiplied.

    Raises:
        FedlabError: If the gradient is not finite in float16, or the batch shall be cut and a term
            of the objective is no mean over its examples.
    """
    if not task.cuts(len(targets)):
        return _add_piece(task, objective, Piece(inputs, targets), weight)
    losses = [
        _add_piece(task, objective, piece, weight)
        for piece in _pieces(task, objective, inputs, targets)
    ]
    return torch.stack(losses).sum()


def _pieces(
    task: LocalTask, objective: Objective, inputs: torch.Tensor, targets: torch.Tensor
) -> Iterator[Piece]:
    """Yield a batch in pieces of at most as many examples as the task says."""
    if not all(getattr(term, "is_mean", False) for term in objective.batch_terms):
        raise FedlabError(
            "engine.micro_batch: a term of this client's objective is no mean over the examples of "
            "a batch, which therefore cannot be computed in pieces; leave the key out"
        )
    assert task.micro_batch is not None
    count = getattr(objective.criterion, "counted", len)
    whole = count(targets)
    whole = whole.clamp(min=1) if isinstance(whole, torch.Tensor) else whole
    for start in range(0, len(targets), task.micro_batch):
        own = targets[start : start + task.micro_batch]
        taken = inputs[start : start + task.micro_batch]
        yield Piece(taken, own, count(own) / whole, len(own) / len(targets))


def _add_piece(task: LocalTask, objective: Objective, piece: Piece, weight: float) -> torch.Tensor:
    """Add a piece's part of the gradient to the model's; return its part of the task loss."""
    if task.scale is not None:
        return _add_scaled(task, task.scale, objective, piece, weight)
    loss, whole = _losses_of(task, objective, piece)
    (whole if weight == 1 else whole * weight).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def _losses_of(
    task: LocalTask, objective: Objective, piece: Piece
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a piece's part of the task loss, and its sum with those of the batch terms."""
    views = task.draw.views
    inputs = merged(piece.inputs, views)
    if not objective.batch_terms:
        outputs = parted(task.network.model.call(inputs), views)
        loss = _part(objective.criterion(outputs, piece.targets), piece.counted)
        return loss, loss
    outputs, representations = (parted(part, views) for part in represented(task.network, inputs))
    loss = _part(objective.criterion(outputs, piece.targets), piece.counted)
    batch = Batch(task, piece.inputs, piece.targets, outputs, representations)
    terms = (_part(term(batch), piece.share) for term in objective.batch_terms)
    return loss, sum(terms, loss)


def _part(mean: torch.Tensor, share: torch.Tensor | float) -> torch.Tensor:
    """Return what a mean over a piece contributes to the mean over its batch."""
    if isinstance(share, torch.Tensor):
        # The mean over no target is no number.
        return torch.where(share > 0, mean, 0.0) * share
    return mean if share == 1 else mean * share


def _add_scaled(
    task: LocalTask, scale: LossScale, objective: Objective, piece: Piece, weight: float
) -> torch.Tensor:
    """Do what :func:`_add_piece` does, with loss scaling, until the gradient is finite."""
    model = task.network.model
    before, statistics = model.gradient.clone(), [part.clone() for part in _statistics(model)]
    while True:
        model.zero_gradient()
        loss, whole = _losses_of(task, objective, piece)
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
