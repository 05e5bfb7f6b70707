"""Evaluation metrics by task, as sums that several workers can add up.

The sums are plain counts, so this file needs torch alone: torchmetrics would add two seconds and a
hundred megabytes to every worker (it imports SciPy, torchvision and torch's compiler). Tests hold
every metric against torchmetrics and scikit-learn.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fedlab.data.dataset import Task

CALIBRATION_BINS = 15
TOKENS = ("next-token", "sequence-to-sequence")


class Evaluation:
    """The metrics of one model on one set of examples, batch by batch, shard by shard.

    What is kept are sums in double precision, so the result does not depend on how examples were
    cut into batches. Two workers' parts are joined with :meth:`merge`; the sums are floating-point,
    so join them in a fixed order.

    Args:
        task: What is learned; positions whose target is ``task.padding`` are not counted.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._classes = max(task.outputs, 2)
        self._sums = {
            name: torch.zeros(size, dtype=torch.float64)
            for name, size in {**_sums_of(task, self._classes), "success": 2}.items()
        }

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
        self._add("loss", torch.tensor([loss_sum, count]))
        if self._task.kind == "regression":
            errors = outputs.detach().double().flatten() - targets.double().flatten()
            sums = [errors.square().sum(), errors.abs().sum(), torch.tensor(errors.numel())]
            self._add("errors", torch.stack(sums))
        else:
            self._update_on_classes(outputs.detach(), targets)

    def count_success(self, hits: Tensor) -> None:
        """Count (N,) inputs with a trigger, true where they got the class that it stands for."""
        self._add("success", torch.tensor([hits.sum(), len(hits)]))

    def compute(self) -> dict[str, float]:
        """Return the metrics by name, the loss first; nothing if nothing was counted."""
        loss, count = self._sums["loss"].tolist()
        if not count:
            return {}
        hits, triggered = self._sums["success"].tolist()
        success = {"attack_success": hits / triggered} if triggered else {}
        return {"loss": loss / count, **self._own(), **success}

    def confusion(self) -> Tensor:
        """Return the (K, K) counts, rows true class, columns predicted class.

        Raises:
            ValueError: If the task is not classification.
        """
        if self._task.kind != "classification":
            raise ValueError(f"a {self._task.kind} task has no confusion matrix")
        return self._confusion().long()

    def state(self) -> dict[str, Tensor]:
        """Return the sums by name; they travel to another process."""
        return dict(self._sums)

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add what :meth:`state` returned elsewhere, for the same task."""
        for name, value in state.items():
            self._add(name, value)

    def _add(self, name: str, value: Tensor) -> None:
        # Not in place: what state() returned must not change.
        self._sums[name] = self._sums[name] + value

    def _confusion(self) -> Tensor:
        return self._sums["confusion"].view(self._classes, self._classes)

    def _own(self) -> dict[str, float]:
        """Return the task's own metrics, in the order in which they are shown."""
        if self._task.kind == "regression":
            squares, absolutes, count = self._sums["errors"].tolist()
            return {"rmse": math.sqrt(squares / count), "mae": absolutes / count}
        if self._task.kind in TOKENS:
            right, surprise, count = self._sums["tokens"].tolist()
            count = max(count, 1)
            return {"accuracy": right / count, "perplexity": math.exp(surprise / count)}
        confusion = self._confusion()
        metrics = {
            "accuracy": (confusion.trace() / confusion.sum().clamp(min=1)).item(),
            "macro_f1": _macro_f1(confusion),
        }
        if self._task.kind == "classification":
            metrics["calibration_error"] = _calibration_error(self._sums["calibration"])
        return metrics

    def _update_on_classes(self, outputs: Tensor, targets: Tensor) -> None:
        scores = outputs.double().flatten(0, -2)
        flat = targets.flatten()
        kept = flat != self._task.padding
        scores, flat = scores[kept], flat[kept].long()
        if not len(flat):
            return
        if scores.shape[-1] == 1:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=-1)
        predicted = scores.argmax(-1)
        right = (predicted == flat).double()
        if self._task.kind in TOKENS:
            surprise = functional.cross_entropy(scores, flat, reduction="sum")
            self._add("tokens", torch.stack([right.sum(), surprise, torch.tensor(len(flat))]))
            return
        cells = flat * self._classes + predicted
        self._add("confusion", torch.bincount(cells, minlength=self._classes**2))
        if self._task.kind == "classification":
            self._add("calibration", _binned(scores.softmax(-1).amax(-1), right))


def names_of(task: Task) -> list[str]:
    """Return the names of the task's metrics, as :meth:`Evaluation.compute` returns them."""
    if task.kind == "regression":
        return ["loss", "rmse", "mae"]
    if task.kind in TOKENS:
        return ["loss", "accuracy", "perplexity"]
    calibration = ["calibration_error"] if task.kind == "classification" else []
    return ["loss", "accuracy", "macro_f1", *calibration]


def _sums_of(task: Task, classes: int) -> dict[str, int]:
    """Return the sizes of the sums that a task's metrics need."""
    if task.kind == "regression":
        return {"loss": 2, "errors": 3}
    if task.kind in TOKENS:
        return {"loss": 2, "tokens": 3}
    calibration = {"calibration": 3 * CALIBRATION_BINS} if task.kind == "classification" else {}
    return {"loss": 2, "confusion": classes**2, **calibration}


def _macro_f1(confusion: Tensor) -> float:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN), over classes that occur at all."""
    twice = 2 * confusion.diagonal()
    whole = confusion.sum(0) + confusion.sum(1)
    occurs = whole > 0
    return float((twice[occurs] / whole[occurs]).mean()) if occurs.any() else 0.0


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
