"""Metrics of how much of the variance of numbers is predicted."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlab.data.dataset import Task
from fedlab.metrics.contract import MetricSet, Sums
from fedlab.registry import metrics


@metrics.register("variance")
class Variance(MetricSet):
    """R² = 1 − Σ (y − t)² / Σ (t − t̄)², a mean over the targets; without variance there is none."""

    names: ClassVar[tuple[str, ...]] = ("r2",)
    kinds: ClassVar[tuple[str, ...]] = ("regression",)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.outputs = task.outputs

    def sizes(self) -> dict[str, int]:
        """Return the size of the one sum: count, then Σ t, Σ t² and Σ (y − t)² of each target."""
        return {"moments": 1 + 3 * self.outputs}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return what a batch adds to them."""
        wanted = targets.double().reshape(-1, self.outputs)
        errors = outputs.double().reshape(-1, self.outputs) - wanted
        parts = [wanted.sum(0), wanted.square().sum(0), errors.square().sum(0)]
        return {"moments": torch.cat([torch.tensor([float(len(wanted))]), *parts])}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return R² over the targets that vary."""
        count = sums["moments"][0]
        total, squares, errors = sums["moments"][1:].view(3, self.outputs)
        spread = squares - total.square() / count
        varies = spread > 1e-12 * squares
        if not varies.any():
            return {}
        return {"r2": float((1 - errors[varies] / spread[varies]).mean())}
