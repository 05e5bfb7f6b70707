"""PowerSGD: matrices of low rank in the place of a layer's update."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field

from fedlab.algorithm.error_feedback import ErrorFeedback, ErrorFeedbackSettings
from fedlab.algorithm.processing import Payload, Received
from fedlab.models.layout import Entry
from fedlab.registry import updates
from fedlab.training.task import Arrays

RIGHT = "right"


class PowerSgdSettings(ErrorFeedbackSettings):
    """Keys of a table of ``[[updates]]`` with name = "powersgd"."""

    rank: int = Field(4, ge=1, description="r: a matrix of n × m takes r (n + m) numbers")
    warm_start: bool = Field(
        True, description="begin with the right factor that the client found in its last round"
    )


@updates.register("powersgd")
class PowerSgd(ErrorFeedback):
    """PowerSGD: rank-r approximations by a step of subspace iteration (Vogels et al. 2019).

    "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization", NeurIPS,
    Algorithm 1, for each tensor as a matrix M (n × m; a convolution's has a row for each output
    channel), with Q (m × r) of the client's last round (warm start), at first Gaussian:

        P ← orthogonalise(M Q)        Q ← Mᵀ P        sends P and Q, which stand for P Qᵀ

    P Qᵀ = P Pᵀ M is a projection of M, so that error feedback (Algorithm 2) makes up for what is
    left out. The paper's workers average P before they orthogonalise it, in an exchange of its own;
    here a client answers once, with both factors of its own update, and P_i Q_iᵀ are averaged.

    Vectors, and matrices that the factors would not make smaller, travel as they are.
    """

    Settings: ClassVar[type[PowerSgdSettings]] = PowerSgdSettings
    takes: ClassVar[Literal["update", "values", "bytes"]] = "update"

    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the factors of each matrix and the other tensors, one after the other."""
        found, kept, start = [], [], 0
        before = received.kept.get(RIGHT) if self.settings.warm_start else None
        for entry, rank in self._tensors():
            tensor = entry.view(update, self.layout.wire.start)
            if not rank:
                found.append(tensor.reshape(-1))
                continue
            matrix = tensor.reshape(entry.shape[0], -1)
            right = torch.randn(matrix.shape[1], rank, generator=generator)
            if before is not None:
                right = before[start : start + right.numel()].view(right.shape)
            start += right.numel()
            left = torch.linalg.qr(matrix @ right).Q
            right = matrix.T @ left
            found += [left.reshape(-1), right.reshape(-1)]
            # A factor of a zero update would stay zero for ever.
            kept.append(right if right.any() else torch.randn(right.shape, generator=generator))
        state: Arrays = {}
        if self.settings.warm_start and kept:
            state[RIGHT] = torch.cat([right.reshape(-1) for right in kept])
        return Payload(torch.cat(found), kept=state)

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return P Qᵀ of each matrix, and the other tensors as they came."""
        layout, start = self.layout, 0
        update = torch.empty(layout.wire_parameters)
        for entry, rank in self._tensors():
            size = math.prod(entry.shape)
            rows, columns = entry.shape[0] if rank else 0, size // max(entry.shape[0], 1)
            taken = rank * (rows + columns) if rank else size
            part = payload.values[start : start + taken]
            start += taken
            if rank:
                left, right = part[: rank * rows], part[rank * rows :]
                part = left.view(rows, rank) @ right.view(columns, rank).T
            entry.view(update, layout.wire.start).copy_(part.reshape(entry.shape))
        return update

    def _tensors(self) -> Iterator[tuple[Entry, int]]:
        """Yield the tensors of an update and the rank of each one's factors, 0 for none."""
        wanted = self.settings.rank
        for entry in self.layout.shared_entries:
            size, rows = math.prod(entry.shape), entry.shape[0] if entry.shape else 1
            columns = size // max(rows, 1)
            rank = min(wanted, rows, columns)
            is_smaller = len(entry.shape) > 1 and rank * (rows + columns) < size
            yield entry, rank if is_smaller else 0
