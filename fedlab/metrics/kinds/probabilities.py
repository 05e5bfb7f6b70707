"""Metrics of predicted probabilities."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlab.metrics.contract import MetricSet, Sums
from fedlab.metrics.scores import counted
from fedlab.registry import metrics


@metrics.register("probabilities")
class Probabilities(MetricSet):
    """The Brier score: the mean squared error of the predicted probabilities.

    For two classes (p₁ − y)², from 0 to 1; for more Σₖ (pₖ − [y = k])², from 0 to 2, which is the
    original definition (Brier, "Verification of forecasts expressed in terms of probability",
    Monthly Weather Review 78, 1950). scikit-learn's ``brier_score_loss`` takes the same.
    """

    names: ClassVar[tuple[str, ...]] = ("brier",)
    kinds: ClassVar[tuple[str, ...]] = ("classification",)

    def sizes(self) -> dict[str, int]:
        """Return the size of the one sum: squared errors, and examples."""
        return {"squares": 2}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sum of squared errors, and how many examples there are."""
        scores, classes = counted(outputs, targets, self.task.padding)
        if not len(classes):
            return {}
        wanted = torch.nn.functional.one_hot(classes, scores.shape[1]).double()
        squares = (scores.softmax(1) - wanted).square().sum()
        halved = squares / 2 if scores.shape[1] == 2 else squares
        return {"squares": torch.stack([halved, torch.tensor(float(len(classes)))])}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return the Brier score."""
        squares, count = sums["squares"].tolist()
        return {"brier": squares / count}
