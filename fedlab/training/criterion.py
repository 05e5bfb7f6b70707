"""Task losses: what a batch's outputs cost against its targets."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError

CriterionName = Literal["auto", "cross-entropy", "sum-of-squares", "binary", "perceptron"]


class Criterion:
    """The task loss of a scenario.

    Args:
        name: "cross-entropy"; "sum-of-squares", ½ Σ (y − t)² over the outputs; "binary",
            cross-entropy of each output's sigmoid; "perceptron", Rosenblatt's criterion
            Σ (o − t) a with the step output o = [a ≥ 0] held constant, whose gradient step is
            w ← w + α x (t − o). "auto" takes cross-entropy for classes and tokens,
            binary for two classes with one output, and sum-of-squares for regression.
        task: The task; classes become one-hot targets where the criterion compares numbers.
        label_smoothing: For cross-entropy (Szegedy et al. 2016).

    Raises:
        FedlabError: If the criterion does not fit the task.
    """

    def __init__(self, name: CriterionName, task: Task, label_smoothing: float = 0.0) -> None:
        if name == "auto":
            name = _usual(task)
        if name == "cross-entropy" and _has_one_score(task):
            raise FedlabError(
                "client.criterion: cross-entropy needs an output for each class, and this data "
                "set's task has one output for both; 'binary' fits it"
            )
        if name == "cross-entropy" and task.kind == "regression":
            raise FedlabError(
                "client.criterion: cross-entropy needs classes, and this data set's task is "
                "regression; 'sum-of-squares' fits it"
            )
        if label_smoothing and name != "cross-entropy":
            raise FedlabError(f"client.label_smoothing: it goes with cross-entropy, not '{name}'")
        self.name = name
        self._task = task
        self._label_smoothing = label_smoothing

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the batch's counted targets.

        Args:
            outputs: (N, K), or (N, T, K) where every position is predicted.
            targets: (N,) or (N, T) classes; (N, K) numbers; (N, K) class probabilities (mixup).
        """
        if outputs.ndim == 3:
            outputs = outputs.flatten(0, 1)
            targets = targets.flatten(0, 1)
        if self.name == "cross-entropy":
            return functional.cross_entropy(
                outputs,
                targets,
                ignore_index=self._task.padding,
                label_smoothing=self._label_smoothing,
            )
        wanted = self._numbers(targets, outputs)
        if self.name == "binary":
            return functional.binary_cross_entropy_with_logits(outputs, wanted)
        if self.name == "perceptron":
            step = (outputs.detach() >= 0).to(outputs.dtype)
            return ((step - wanted) * outputs).sum() / len(outputs)
        return 0.5 * (outputs - wanted).square().sum() / len(outputs)

    def _numbers(self, targets: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        if targets.is_floating_point():
            return targets.view_as(outputs)
        if outputs.shape[-1] == 1:
            return targets.view_as(outputs).to(outputs.dtype)
        return functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)


def _usual(task: Task) -> CriterionName:
    """Return the criterion that goes with a task."""
    if task.kind == "regression":
        return "sum-of-squares"
    return "binary" if _has_one_score(task) else "cross-entropy"


def _has_one_score(task: Task) -> bool:
    return task.kind == "classification" and task.outputs == 1
