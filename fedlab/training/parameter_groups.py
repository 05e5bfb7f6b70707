"""Parameters that are trained at rates of their own, or that are not decayed.

Layer-wise learning-rate decay (Howard and Ruder 2018, "Universal Language Model Fine-tuning for
Text Classification", section 3.2, discriminative fine-tuning; Clark et al. 2020, ELECTRA; Bao et
al. 2022, BEiT): the head learns at the rate η, the stage before it at η d, the one before that at
η d², …, the first of n stages at η dⁿ. All of a client's weights stand in one vector, so a group is
a run of it: a view, whose gradient is a view of the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

from fedlab.models.network import Network
from fedlab.training.optimizer import OptimizerSettings


@dataclass(frozen=True)
class Group:
    """Neighbours in the vector that learn at one rate.

    Attributes:
        parameter: The weights, a view of the model's vector, whose ``grad`` is a view, too.
        factor: What the learning rate is multiplied by.
        decayed: Views of those that weight decay shrinks.
    """

    parameter: nn.Parameter
    factor: float
    decayed: tuple[torch.Tensor, ...]


def is_grouped(settings: OptimizerSettings) -> bool:
    """Return whether parameters differ in their rates or their decay."""
    spares = settings.weight_decay > 0 and not settings.decay_norms_and_biases
    return settings.layer_decay < 1 or spares


def groups_of(network: Network, settings: OptimizerSettings) -> list[Group]:
    """Return the groups of what a network trains at present, in the order of the vector.

    Args:
        network: The network; what it trains may be a part of its trained slice.
        settings: Their ``layer_decay`` and ``decay_norms_and_biases``.
    """
    if not is_grouped(settings):
        # One group whose parameter is the model's own, which fused descent looks for.
        parameter = network.model.parameter
        return [Group(parameter, 1.0, (parameter.data,))]
    model = network.model
    start = model.layout.trained.start

    def factor(name: str) -> float:
        return float(settings.layer_decay ** network.depths[name])

    found = []
    entries = [entry for entry, _ in model.trained]
    for shared, run in groupby(entries, key=lambda entry: factor(entry.name)):
        members = list(run)
        first, last = members[0].start, members[-1].stop
        parameter = nn.Parameter(model.weights[first:last])
        parameter.grad = model.gradient[first - start : last - start]
        decayed = [
            (entry.start, entry.stop)
            for entry in members
            if settings.decay_norms_and_biases or entry.name not in network.undecayed
        ]
        views = tuple(model.weights[a:b] for a, b in _joined(decayed))
        found.append(Group(parameter, shared, views))
    return found


def _joined(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield spans, those that touch as one."""
    start, stop = -1, -1
    for first, last in spans:
        if first != stop:
            if stop > start:
                yield start, stop
            start = first
        stop = last
    if stop > start:
        yield start, stop


def with_own_rates(
    optimizer: torch.optim.Optimizer, factors: Sequence[float]
) -> torch.optim.Optimizer:
    """Return the optimiser with a group for each of its parameters, at a rate of its own.

    Args:
        optimizer: It has one group.
        factors: What each parameter's learning rate is multiplied by.
    """
    if len(factors) < 2 and set(factors) <= {1.0}:
        return optimizer
    (group,) = optimizer.param_groups
    optimizer.param_groups[:] = [
        {**group, "params": [parameter], "lr": group["lr"] * factor}
        for parameter, factor in zip(group["params"], factors, strict=True)
    ]
    return optimizer
