"""The sum of squares of Rumelhart, Hinton and Williams (1986)."""

from __future__ import annotations

import torch

from fedlab.registry import criteria
from fedlab.training.criterion import Criterion, as_numbers


@criteria.register("sum-of-squares")
class SumOfSquares(Criterion):
    """½ Σ (y − t)² over the outputs; classes are compared as one-hot vectors."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return ½ Σ (y − t)², a mean over examples."""
        return 0.5 * (outputs - as_numbers(targets, outputs)).square().sum() / len(outputs)
