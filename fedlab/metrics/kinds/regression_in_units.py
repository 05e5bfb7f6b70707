"""Metrics of predicted numbers in the units of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlab.metrics.contract import Sums
from fedlab.metrics.kinds.regression import Regression
from fedlab.registry import metrics


@metrics.register("regression-in-units")
class RegressionInUnits(Regression):
    """Root mean squared error and mean absolute error in the units of the targets as given."""

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sums of errors (N, K), multiplied by what the targets were divided by."""
        encoding = self.task.encoding
        if encoding is None or encoding.targets is None:
            return super().count(outputs, targets)
        scale = torch.tensor(encoding.targets.scale, dtype=torch.float64)
        wanted = targets.double().reshape(-1, len(scale)) * scale
        return super().count(outputs.double().reshape(-1, len(scale)) * scale, wanted)
