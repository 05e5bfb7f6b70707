"""Rosenblatt's perceptron criterion."""

from __future__ import annotations

import torch

from fedlab.registry import criteria
from fedlab.training.criterion import Criterion, as_numbers


@criteria.register("perceptron")
class Perceptron(Criterion):
    """Σ (o − t) a with the step output o, 1 where a ≥ 0, held constant (Rosenblatt 1958).

    A gradient step is the perceptron rule, w ← w + α x (t − o).
    """

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return Σ (o − t) a, a mean over examples."""
        wanted = as_numbers(targets, outputs)
        step = (outputs.detach() >= 0).to(outputs.dtype)
        return ((step - wanted) * outputs).sum() / len(outputs)
