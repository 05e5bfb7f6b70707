"""Cross-entropy over classes or tokens."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import criteria
from fedlab.training.criterion import Criterion


@criteria.register("cross-entropy")
class CrossEntropy(Criterion):
    """Cross-entropy of the outputs' softmax; padding is not counted."""

    smooths_labels: ClassVar[bool] = True
    weighs_classes: ClassVar[bool] = True

    def __init__(self, task: Task, label_smoothing: float = 0.0) -> None:
        super().__init__(task, label_smoothing)
        if task.kind == "classification" and task.outputs == 1:
            raise FedlabError(
                "client.criterion: cross-entropy needs an output for each class, and this data "
                "set's task has one output for both; 'binary' fits it"
            )
        usual = task.conventions
        if task.kind in ("regression", "reconstruction"):
            raise FedlabError(
                "client.criterion: cross-entropy needs classes, and this data set's task is "
                f"{task.kind}; '{usual.criterion}' fits it"
            )

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return −log softmax(y) at the class, or against class probabilities.

        With class weights each example's loss is multiplied by its class's.
        """
        if self.class_weights is not None:
            counted = (
                (targets != self.task.padding).sum().clamp(min=1)
                if targets.ndim == 1
                else len(targets)
            )
            total: torch.Tensor = functional.cross_entropy(
                outputs,
                targets,
                weight=self.weights_at(outputs.device),
                ignore_index=self.task.padding,
                reduction="sum",
                label_smoothing=self.label_smoothing,
            )
            return total / counted
        return functional.cross_entropy(
            outputs,
            targets,
            ignore_index=self.task.padding,
            label_smoothing=self.label_smoothing,
        )
