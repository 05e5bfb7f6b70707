"""Between the CPU, on which everything travels, and the device on which a worker trains."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from fedlab.copying import to_device, to_host
from fedlab.training.task import Arrays, Assignment, Update

CPU = torch.device("cpu")


class Placement:
    """Moves what a message brings to a worker's device, and what a client returns back.

    What several clients of a round are sent is moved once, and stays on the device as long as it is
    held on the CPU. On the CPU nothing is moved.

    Args:
        device: The worker's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._moved = WeakTensorKeyDictionary()

    def assignment(self, assignment: Assignment) -> Assignment:
        """Return an assignment with its vectors, and what its client kept, on the device."""
        if self.device == CPU:
            return assignment
        return replace(
            assignment,
            wire=self.shared(assignment.wire),
            arrays={name: self.shared(vector) for name, vector in assignment.arrays.items()},
            state=_at(assignment.state, self.device),
        )

    def shared(self, vector: torch.Tensor) -> torch.Tensor:
        """Return a vector on the device, the same copy for all who hold this vector."""
        if self.device == CPU:
            return vector
        if vector not in self._moved:
            self._moved[vector] = to_device(vector, self.device)
        moved: torch.Tensor = self._moved[vector]
        return moved

    def update(self, update: Update) -> Update:
        """Return an update with all that travels, and all that its client keeps, on the CPU."""
        if self.device == CPU:
            return update
        return replace(
            update,
            weights=to_host(update.weights),
            arrays=_at(update.arrays, CPU),
            state=_at(update.state, CPU),
            origin=None if update.origin is None else update.origin.cpu(),
        )

    def to_be_summed(self, update: Update) -> Update:
        """Return an update with what is summed up on the device, and the rest on the CPU."""
        return replace(
            update,
            weights=to_device(update.weights, self.device),
            arrays=_at(update.arrays, self.device),
            state=_at(update.state, CPU),
        )


def _at(tensors: Arrays, device: torch.device) -> Arrays:
    return {name: _moved(tensor, device) for name, tensor in tensors.items()}


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    # Apple's GPU has no double precision, which is for single numbers of a client's own.
    stays = device.type == "mps" and tensor.dtype == torch.float64
    if stays:
        return tensor
    return to_host(tensor) if device == CPU else to_device(tensor, device)
