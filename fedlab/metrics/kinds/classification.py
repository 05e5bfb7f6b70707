"""Metrics of one class an example."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlab.metrics.contract import Sums
from fedlab.metrics.kinds.tagging import Tagging
from fedlab.registry import metrics

CALIBRATION_BINS = 15


@metrics.register("classification")
class Classification(Tagging):
    """Accuracy, macro F1, and the expected calibration error."""

    names: ClassVar[tuple[str, ...]] = (*Tagging.names, "calibration_error")
    has_confusion: ClassVar[bool] = True

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the confusion matrix and of the bins of confidence."""
        return {**super().sizes(), "calibration": 3 * CALIBRATION_BINS}

    def count_scores(self, scores: Tensor, targets: Tensor, predicted: Tensor) -> Sums:
        """Return the cells and the bins that scores (M, K) add to."""
        right = (predicted == targets).double()
        binned = _binned(scores.softmax(-1).amax(-1), right)
        return {**super().count_scores(scores, targets, predicted), "calibration": binned}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return accuracy, macro F1 and the calibration error."""
        return {
            **super().compute(sums),
            "calibration_error": _calibration_error(sums["calibration"]),
        }


def _binned(confidences: Tensor, right: Tensor) -> Tensor:
    """Return per bin of confidence the number of examples, and the sums of both arguments."""
    bins = (confidences * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    weights = (None, confidences, right)
    return torch.cat([torch.bincount(bins, w, CALIBRATION_BINS).double() for w in weights])


def _calibration_error(sums: Tensor) -> float:
    """Return the expected calibration error: bins' gaps between confidence and accuracy, weighed.

    Guo et al. 2017, equation 3, with bins open on the left.
    """
    counts, confidences, right = sums.view(3, CALIBRATION_BINS)
    return float((confidences - right).abs().sum() / counts.sum().clamp(min=1))
