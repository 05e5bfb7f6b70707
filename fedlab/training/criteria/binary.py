"""Cross-entropy of single scores."""

from __future__ import annotations

import torch
from torch.nn import functional

from fedlab.registry import criteria
from fedlab.training.criterion import Criterion, as_numbers


@criteria.register("binary")
class Binary(Criterion):
    """Cross-entropy of each output's sigmoid."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return −t log σ(y) − (1 − t) log(1 − σ(y)), a mean over all outputs."""
        return functional.binary_cross_entropy_with_logits(outputs, as_numbers(targets, outputs))
