"""Metrics of hidden patches."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from fedlab.metrics.contract import MetricSet, Sums
from fedlab.registry import metrics


@metrics.register("masked-patches")
class MaskedPatches(MetricSet):
    """Root mean squared error of a value of the hidden patches."""

    names: ClassVar[tuple[str, ...]] = ("rmse",)

    def sizes(self) -> dict[str, int]:
        """Return the size of the one sum: squared errors, and their number."""
        return {"errors": 2}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sum of squared errors where targets are not NaN, and how many there are."""
        errors = (outputs.double() - targets.double())[~targets.isnan()]
        return {"errors": torch.stack([errors.square().sum(), torch.tensor(errors.numel())])}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return the error."""
        squares, count = sums["errors"].tolist()
        return {"rmse": math.sqrt(squares / count)}
