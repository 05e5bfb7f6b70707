"""Gradient descent inside the backward pass.

Each parameter is updated as soon as its gradient is there, and the gradient is dropped. The steps
are those of plain SGD, w ← w − η (∇ + terms), without writing the whole gradient to memory, adding
it up and reading it again: about an eighth of a small CNN's step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import nn

from fedlab.models.layout import Entry, FlatModel
from fedlab.training.terms import ParameterTerm


def can_be_fused(
    model: FlatModel, optimizer: torch.optim.Optimizer, terms: Sequence[ParameterTerm]
) -> bool:
    """Return whether the optimiser is plain SGD on the model, and the terms can be taken apart."""
    if type(optimizer) is not torch.optim.SGD or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    extras = ("momentum", "weight_decay", "nesterov", "maximize")
    plain = not any(group[name] for name in extras)
    own = len(group["params"]) == 1 and group["params"][0] is model.parameter
    return plain and own and all(is_dataclass(term) for term in terms)


@contextmanager
def descent_in_backward(
    model: FlatModel, optimizer: torch.optim.Optimizer, terms: Sequence[ParameterTerm]
) -> Iterator[None]:
    """Let every ``backward`` inside the block take a step of the optimiser.

    Args:
        model: The model.
        optimizer: Says the learning rate, which may change from step to step.
        terms: Terms of the objective that depend on the parameters alone.
    """
    group = optimizer.param_groups[0]
    handles = []
    for entry, parameter in model.trained:
        parts = [part_of(term, _within(entry, model)) for term in terms]
        visit = _descend(entry, model.weights, parts, group)
        handle = parameter.register_post_accumulate_grad_hook(visit)  # type: ignore[no-untyped-call]
        handles.append(handle)
        parameter.grad = None
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.bind_gradient()


def part_of(term: Any, part: slice) -> Any:
    """Return a term over some of the parameters from one over all of them.

    Args:
        term: A dataclass whose vectors are as long as all parameters.
        part: Which parameters.
    """
    vectors = {
        field.name: getattr(term, field.name)[part]
        for field in fields(term)
        if isinstance(getattr(term, field.name), torch.Tensor) and getattr(term, field.name).ndim
    }
    return replace(term, **vectors)


def _within(entry: Entry, model: FlatModel) -> slice:
    start = model.layout.trained.start
    return entry.place(start)


def _descend(
    entry: Entry, weights: torch.Tensor, terms: Sequence[ParameterTerm], group: dict[str, Any]
) -> Callable[[nn.Parameter], None]:
    own = weights[entry.place()]

    def visit(parameter: nn.Parameter) -> None:
        gradient = parameter.grad
        assert gradient is not None
        for term in terms:
            gradient.add_(entry.view(term.gradient(own), entry.start))
        parameter.data.add_(gradient, alpha=-group["lr"])
        parameter.grad = None

    return visit
