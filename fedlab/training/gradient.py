"""The gradient of a client's whole objective at the weights that it received."""

from __future__ import annotations

import torch

from fedlab.training.backward import add_gradient
from fedlab.training.batches import batch_bounds
from fedlab.training.task import LocalTask
from fedlab.training.terms import Objective


def gradient_received(task: LocalTask, objective: Objective, batch_size: int) -> torch.Tensor:
    """Return ∇fᵢ(x): the mean gradient over all of a client's examples at the received weights x.

    It may be asked for before training or after; the network is left as it was. Inputs are not
    augmented.

    Args:
        task: The client's task.
        objective: Its fᵢ; parameter terms count, too.
        batch_size: How many examples to take at a time.

    Returns:
        (wire_parameters,) the gradient in the parameters that travel.
    """
    model = task.network.model
    present = model.weights.clone()
    model.weights[model.layout.wire] = task.wire
    task.network.train_mode()
    model.zero_gradient()
    count = len(task.examples)
    for start, stop in batch_bounds(task, batch_size):
        prepared = task.prepare(task.examples.inputs_at(slice(start, stop)))
        inputs, targets = task.draw(prepared, task.examples.targets[start:stop])
        # Gradients add up over batches; the statistics of batch norm are put back below.
        add_gradient(task, objective, inputs, targets, (stop - start) / count)
    with torch.no_grad():
        for term in objective.parameter_terms:
            model.gradient.add_(term.gradient(model.parameter.data))
        model.weights.copy_(present)
    shared = model.gradient[-model.layout.wire_parameters :].clone()
    model.zero_gradient()
    return shared
