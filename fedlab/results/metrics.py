"""Evaluation metrics by task, as sums that several workers can add up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, SumMetric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)
from torchmetrics.text import Perplexity
from torchmetrics.utilities import dim_zero_cat

from fedlab.data.dataset import Task

CALIBRATION_BINS = 15
# torchmetrics would keep the computed value when parts are merged afterwards.
NO_CACHE: dict[str, Any] = {"compute_with_cache": False}
# Which metrics read the predicted class, class probabilities, or unnormalised scores.
ON_CLASSES = ("accuracy", "macro_f1", "confusion")
ON_PROBABILITIES = ("calibration_error",)


class Evaluation:
    """The metrics of one model on one set of examples, batch by batch, shard by shard.

    What is kept are sums (and, for the calibration error, two numbers an example), so the result
    does not depend on how examples were cut into batches. Two workers' parts are joined with
    :meth:`merge`; the sums are floating-point, so join them in a fixed order.

    Args:
        task: What is learned; positions whose target is ``task.padding`` are not counted.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._metrics = _metrics_of(task)
        # A loss that is not a number must be seen, not dropped.
        self._loss_sum = _float64(SumMetric(nan_strategy="disable", **NO_CACHE))
        self._count = _float64(SumMetric(nan_strategy="disable", **NO_CACHE))

    @torch.no_grad()
    def update(self, outputs: Tensor, targets: Tensor, loss_sum: float, count: int) -> None:
        """Count a batch.

        Args:
            outputs: (N, K) or (N, T, K): scores before the softmax, or predicted numbers. A single
                score per example (K = 1, classification) stands for class 1 against class 0.
            targets: (N,) or (N, T) classes; (N, K) numbers for regression.
            loss_sum: The task loss, summed over what it is a mean of.
            count: How many terms that sum has.
        """
        self._loss_sum.update(loss_sum)
        self._count.update(count)
        if self._task.kind == "regression":
            numbers = outputs.detach().double().flatten()
            for metric in self._metrics.values():
                metric.update(numbers, targets.double().flatten())
        else:
            self._update_on_classes(outputs.detach(), targets)

    def compute(self) -> dict[str, float]:
        """Return the metrics by name, the loss first; nothing if nothing was counted."""
        if not self._count.update_called:
            return {}
        values = {"loss": (self._loss_sum.compute() / self._count.compute()).item()}
        for name, metric in self._metrics.items():
            if name != "confusion":
                values[name] = metric.compute().item()
        return values

    def confusion(self) -> Tensor:
        """Return the (K, K) counts, rows true class, columns predicted class.

        Raises:
            ValueError: If the task is not classification.
        """
        if "confusion" not in self._metrics:
            raise ValueError(f"a {self._task.kind} task has no confusion matrix")
        matrix: Tensor = self._metrics["confusion"].compute()
        return matrix

    def state(self) -> dict[str, Tensor]:
        """Return the sums, by "<metric>.<name of the sum>"; they travel to another process."""
        return {
            f"{name}.{part}": _as_tensor(value)
            for name, metric in self._all().items()
            for part, value in metric.metric_state.items()
        }

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add what :meth:`state` returned elsewhere, for the same task."""
        for name, metric in self._all().items():
            # Not Metric.merge_state: it takes lists in the other order, and forgets to count the
            # merge, so that a metric that was only merged warns that it is empty.
            metric._update_count += 1
            for part, present in metric.metric_state.items():
                value = state[f"{name}.{part}"]
                if isinstance(present, list):
                    present.append(value)
                else:
                    present.add_(value)

    def _all(self) -> dict[str, Metric]:
        return {"loss": self._loss_sum, "count": self._count, **self._metrics}

    def _update_on_classes(self, outputs: Tensor, targets: Tensor) -> None:
        scores = outputs.double().flatten(0, -2)
        flat = targets.flatten()
        kept = flat != self._task.padding
        scores, flat = scores[kept], flat[kept].long()
        if not len(flat):
            return
        if scores.shape[-1] == 1:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=-1)
        for name, metric in self._metrics.items():
            if name in ON_CLASSES:
                metric.update(scores.argmax(-1), flat)
            elif name in ON_PROBABILITIES:
                metric.update(scores.softmax(-1), flat)
            else:
                metric.update(scores.unsqueeze(0), flat.unsqueeze(0))


def names_of(task: Task) -> list[str]:
    """Return the names of the task's metrics, as :meth:`Evaluation.compute` returns them."""
    return ["loss", *(name for name in _metrics_of(task) if name != "confusion")]


def _metrics_of(task: Task) -> dict[str, Metric]:
    """Return the task's metrics, in the order in which they are shown."""
    if task.kind == "regression":
        return {
            "rmse": _float64(MeanSquaredError(squared=False, **NO_CACHE)),
            "mae": _float64(MeanAbsoluteError(**NO_CACHE)),
        }
    classes = max(task.outputs, 2)
    options: dict[str, Any] = {"validate_args": False, **NO_CACHE}
    metrics: dict[str, Metric] = {
        "accuracy": MulticlassAccuracy(classes, average="micro", **options)
    }
    if task.kind in ("next-token", "sequence-to-sequence"):
        return metrics | {"perplexity": _float64(Perplexity(**NO_CACHE))}
    metrics["macro_f1"] = MulticlassF1Score(classes, average="macro", **options)
    if task.kind == "classification":
        metrics["calibration_error"] = _float64(
            MulticlassCalibrationError(classes, CALIBRATION_BINS, **options)
        )
        metrics["confusion"] = MulticlassConfusionMatrix(classes, **options)
    return metrics


def _float64(metric: Metric) -> Metric:
    """Return the metric with float64 sums: float32 ones drift over many batches."""
    return metric.set_dtype(torch.float64)


def _as_tensor(value: Tensor | list[Tensor]) -> Tensor:
    if isinstance(value, Tensor):
        return value
    joined: Tensor = dim_zero_cat(value) if value else torch.zeros(0)
    return joined
