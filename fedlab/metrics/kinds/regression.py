"""Metrics of predicted numbers."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from fedlab.metrics.contract import MetricSet, Sums
from fedlab.registry import metrics


@metrics.register("regression")
class Regression(MetricSet):
    """Root mean squared error and mean absolute error, over all numbers."""

    names: ClassVar[tuple[str, ...]] = ("rmse", "mae")

    def sizes(self) -> dict[str, int]:
        """Return the size of the one sum: squared errors, absolute errors, their number."""
        return {"errors": 3}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sums of squared and of absolute errors, and how many there are."""
        errors = outputs.double().flatten() - targets.double().flatten()
        sums = [errors.square().sum(), errors.abs().sum(), torch.tensor(errors.numel())]
        return {"errors": torch.stack(sums)}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return both errors."""
        squares, absolutes, count = sums["errors"].tolist()
        return {"rmse": math.sqrt(squares / count), "mae": absolutes / count}
