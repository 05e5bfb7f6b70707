"""The local loop: mini-batch descent on task loss + terms, over one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from fedlab.training.backward import add_gradient
from fedlab.training.batches import Batches
from fedlab.training.early_stopping import EarlyStopping
from fedlab.training.fused import can_be_fused, descent_in_backward
from fedlab.training.losses import MeanLoss
from fedlab.training.optimizer import decay
from fedlab.training.task import LocalTask
from fedlab.training.terms import Objective


@dataclass(frozen=True)
class Steps:
    """How the objective is descended.

    Attributes:
        optimizer: The optimiser of the flat parameter.
        batch_size: Examples per step.
        epochs: Passes over the client's examples, unless ``limit`` is set.
        limit: Number of steps instead of epochs.
        clip_norm: Largest Euclidean norm of a step's gradient, or None.
        weight_decay: Decoupled weight decay.
        schedule: Learning-rate factor by (step, number of steps), or None.
        decayed: The weights of each of the optimiser's groups that are decayed; None for all.
    """

    optimizer: torch.optim.Optimizer
    batch_size: int
    epochs: int = 1
    limit: int | None = None
    clip_norm: float | None = None
    weight_decay: float = 0.0
    schedule: Callable[[int, int], float] | None = None
    decayed: Sequence[Sequence[torch.Tensor]] | None = None

    def rates(self) -> list[float]:
        """Return the optimiser's learning rates, by group of parameters."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def set_rates(self, rates: Sequence[float], taken: int, total: int) -> None:
        """Set the learning rates for the step after ``taken`` of ``total`` steps."""
        if self.schedule is None:
            return
        factor = self.schedule(taken, total)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor


@dataclass(frozen=True)
class Fit:
    """The outcome of a fit.

    Attributes:
        steps: Steps taken.
        epochs: Epochs begun.
        loss: Mean over all steps' examples.
        wire: (wire_size,) what travels of the weights reached, or None where the network holds it.
    """

    steps: int
    epochs: int
    loss: float
    wire: torch.Tensor | None = None


def fit(
    task: LocalTask,
    objective: Objective,
    steps: Steps,
    stopping: EarlyStopping | None = None,
    validate: Callable[[], float] | None = None,
) -> Fit:
    """Train the task's network in place.

    Args:
        task: Model, data and generator.
        objective: What is descended.
        steps: How.
        stopping: Early stopping on what ``validate`` returns after each epoch; the best epoch's
            weights are put back at the end.
        validate: Returns the watched number for the present weights.
    """
    model = task.network.model
    batches = Batches(task, steps.batch_size, steps.epochs, steps.limit)
    rates = steps.rates()
    best: torch.Tensor | None = None
    taken, epoch, losses = 0, 0, MeanLoss()
    with _descending(task, objective, steps) as is_fused:
        while taken < batches.steps:
            task.network.train_mode()
            for inputs, targets in batches.epoch(taken):
                steps.set_rates(rates, taken, batches.steps)
                loss = step(task, objective, steps, inputs, targets, is_fused)
                losses.add(loss, len(targets))
                if task.watch is not None:
                    task.watch(float(loss))
                taken += 1
            epoch += 1
            if stopping is not None and validate is not None:
                if stopping.update(validate()):
                    best = model.weights.clone()
                if stopping.reason():
                    break
    if best is not None:
        model.weights.copy_(best)
    return Fit(taken, epoch, losses.value())


def all_batches(task: LocalTask, steps: Steps) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the prepared batches of all steps, for an algorithm whose step is its own.

    The learning rate is set before each.
    """
    batches = Batches(task, steps.batch_size, steps.epochs, steps.limit)
    rates, taken = steps.rates(), 0
    while taken < batches.steps:
        for inputs, targets in batches.epoch(taken):
            steps.set_rates(rates, taken, batches.steps)
            yield inputs, targets
            taken += 1


@contextmanager
def _descending(task: LocalTask, objective: Objective, steps: Steps) -> Iterator[bool]:
    """Let ``backward`` take the steps where they are plain; yield whether it does."""
    model = task.network.model
    bare = steps.clip_norm is None and not steps.weight_decay
    bare = bare and task.scale is None and not task.cuts(steps.batch_size)
    if not bare or not can_be_fused(model, steps.optimizer, objective.parameter_terms):
        yield False
        return
    with descent_in_backward(model, steps.optimizer, objective.parameter_terms):
        yield True


def step(
    task: LocalTask,
    objective: Objective,
    steps: Steps,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    is_fused: bool = False,
) -> torch.Tensor:
    """Take one descent step; return the task loss before it, a scalar without a graph.

    Args:
        task: Model and data.
        objective: What is descended.
        steps: How.
        inputs, targets: The batch.
        is_fused: Whether ``backward`` takes the step.
    """
    if is_fused:
        return add_gradient(task, objective, inputs, targets)
    loss = gradient(task, objective, steps.clip_norm, inputs, targets)
    descend(steps)
    return loss


def gradient(
    task: LocalTask,
    objective: Objective,
    clip_norm: float | None,
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> torch.Tensor:
    """Write the objective's gradient on a batch into the model's; return the task loss."""
    model = task.network.model
    model.zero_gradient()
    loss = add_gradient(task, objective, inputs, targets)
    with torch.no_grad():
        for penalty in objective.parameter_terms:
            model.gradient.add_(penalty.gradient(model.parameter.data))
        if clip_norm is not None:
            clip(model.gradient, clip_norm)
    return loss


def descend(steps: Steps) -> None:
    """Let the optimiser take a step by the gradient that is there."""
    if steps.weight_decay:
        decay(steps.optimizer, steps.weight_decay, steps.decayed)
    steps.optimizer.step()


def clip(vector: torch.Tensor, norm: float) -> None:
    """Scale ``vector`` in place so that its Euclidean norm is at most ``norm``."""
    length = torch.linalg.vector_norm(vector)
    vector.mul_((norm / (length + 1e-12)).clamp(max=1.0))
