"""The mean squared error."""

from __future__ import annotations

import torch
from torch.nn import functional

from fedlab.registry import criteria
from fedlab.training.criterion import Criterion, as_numbers


@criteria.register("mean-squared-error")
class MeanSquaredError(Criterion):
    """(y − t)², a mean over all values; classes are compared as one-hot vectors."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return Σ (y − t)² / (N K)."""
        return functional.mse_loss(outputs, as_numbers(targets, outputs))
