"""Examples on an accelerator: as a whole where they fit, else moved as they are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fedlab.copying import moved_ahead, to_device
from fedlab.data.dataset import Examples, IntArray, Selection
from fedlab.data.federation import Federation
from fedlab.data.mapped import MappedExamples
from fedlab.data.sites.absent import AbsentExamples
from fedlab.data.virtual import GeneratedExamples

SHARE_FOR_EXAMPLES = 0.5
"""Of a device's free memory: the rest is for the model, its activations and other workers."""


def on_device(federation: Federation, device: torch.device) -> Federation:
    """Return a federation whose examples are those of a device, all or those that are looked at.

    Args:
        federation: The federation.
        device: The CPU leaves it as it is.
    """
    if device.type == "cpu":
        return federation
    dataset = federation.dataset
    train, test = placed(dataset.train, device), placed(dataset.test, device)
    public = None if federation.public is None else placed(federation.public, device)
    return replace(federation, dataset=replace(dataset, train=train, test=test), public=public)


def placed(examples: Examples, device: torch.device) -> Examples:
    """Return examples on a device, as a whole where they are in memory and fit."""
    if device.type == "cpu" or isinstance(examples, MovedExamples | AbsentExamples):
        return examples
    if isinstance(examples, GeneratedExamples | MappedExamples):
        return MovedExamples(examples, device)
    size, free = examples.inputs.nbytes + examples.targets.nbytes, _free(device)
    if free is not None and size > SHARE_FOR_EXAMPLES * free:
        return MovedExamples(examples, device)
    return _moved(examples, device)


def _moved(examples: Examples, device: torch.device) -> Examples:
    inputs, targets = to_device(examples.inputs, device), to_device(examples.targets, device)
    return Examples(inputs, targets, examples.groups, examples.group_names)


def _on_cpu(rows: torch.Tensor | slice) -> torch.Tensor | slice:
    return rows if isinstance(rows, slice) else rows.cpu()


def _free(device: torch.device) -> int | None:
    """Return the free bytes of a device's memory, or None where it does not say."""
    module: Any = torch.get_device_module(device)
    if not hasattr(module, "mem_get_info"):
        return None
    return int(module.mem_get_info(device)[0])


class MovedExamples(Examples):
    """Examples that stay where they are; what is looked at is moved to a device.

    Args:
        stored: The examples: in a file, made client by client, or too many for the device.
        device: Where their inputs and targets are wanted.
    """

    stored: Examples
    device: torch.device

    def __init__(self, stored: Examples, device: torch.device) -> None:
        names = {"groups": stored.groups, "group_names": stored.group_names}
        self.__dict__.update(stored=stored, device=device, **names)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def inputs(self) -> torch.Tensor:
        """Return all inputs, moved for this once."""
        return self.stored.inputs.to(self.device)

    @cached_property
    def _targets(self) -> torch.Tensor:
        return to_device(self.stored.targets, self.device)

    @property
    def targets(self) -> torch.Tensor:
        """Return all targets, which stay on the device."""
        return self._targets

    @property
    def shared(self) -> list[torch.Tensor]:
        """Return the tensors in memory that all who look at these examples share."""
        return self.stored.shared

    def inputs_at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the inputs of these rows, moved for this once."""
        return to_device(self.stored.inputs_at(_on_cpu(rows)), self.device)

    def each_inputs(self, batches: Iterable[torch.Tensor | slice]) -> Iterator[torch.Tensor]:
        """Yield the inputs of one batch after the other, the next one's on their way meanwhile."""
        return moved_ahead(self.stored.each_inputs(map(_on_cpu, batches)), self.device)

    def part(self, start: int, stop: int) -> Examples:
        """Return the examples of rows ``start`` to ``stop``, moved as they are looked at."""
        return Selection(self.without_groups(), np.arange(start, stop))

    def take(self, rows: IntArray | torch.Tensor) -> Examples:
        """Return the examples of these rows, in this order."""
        found = self.stored.take(torch.as_tensor(rows).cpu())
        if isinstance(found, MappedExamples):
            return MovedExamples(found, self.device)
        return _moved(found, self.device)

    def select(self, rows: IntArray) -> Examples:
        """Return the examples of these rows, gathered only if they are looked at."""
        if isinstance(self.stored, GeneratedExamples):
            return self.take(rows)
        return Selection(self, rows)

    def in_memory(self) -> Examples:
        """Return these examples with all inputs on the device."""
        return _moved(self, self.device)

    def with_inputs(self, inputs: torch.Tensor) -> Examples:
        """Return these examples with other inputs, wherever those are."""
        return self.stored.with_inputs(inputs)

    def without_groups(self) -> Examples:
        """Return these examples as nobody's in particular."""
        return MovedExamples(self.stored.without_groups(), self.device)
