"""Metrics of classes at every position."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlab.data.dataset import Task
from fedlab.metrics.contract import MetricSet, Sums
from fedlab.metrics.scores import counted
from fedlab.registry import metrics


@metrics.register("tagging")
class Tagging(MetricSet):
    """Accuracy and macro F1 over all positions."""

    names: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.classes = task.classes

    def sizes(self) -> dict[str, int]:
        """Return the size of the confusion matrix, row by row."""
        return {"confusion": self.classes**2}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the cells of the confusion matrix that a batch adds to."""
        scores, flat = counted(outputs, targets, self.task.padding)
        return self.count_scores(scores, flat, scores.argmax(-1)) if len(flat) else {}

    def count_scores(self, scores: Tensor, targets: Tensor, predicted: Tensor) -> Sums:
        """Return what scores (M, K) add, given what was right and what was predicted, (M,)."""
        cells = targets * self.classes + predicted
        return {"confusion": torch.bincount(cells, minlength=self.classes**2)}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return accuracy and macro F1."""
        confusion = sums["confusion"].view(self.classes, self.classes)
        return {
            "accuracy": (confusion.trace() / confusion.sum().clamp(min=1)).item(),
            "macro_f1": _macro_f1(confusion),
        }


def _macro_f1(confusion: Tensor) -> float:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN), over classes that occur at all."""
    twice = 2 * confusion.diagonal()
    whole = confusion.sum(0) + confusion.sum(1)
    occurs = whole > 0
    return float((twice[occurs] / whole[occurs]).mean()) if occurs.any() else 0.0
