"""Task losses: what a batch's outputs cost against its targets.

A task loss is a small class in ``fedlab/training/criteria``, or anywhere by ``module:Class``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import criteria
from fedlab.training.names import NameIn

AUTO = "auto"
CriterionName = Annotated[str, NameIn(criteria, (AUTO,))]
"""What ``client.criterion`` holds; "auto" is the criterion of the task."""


class Criterion(ABC):
    """The task loss of a scenario. The docstring's first line says what it computes.

    Args:
        task: The task.
        label_smoothing: Share of the uniform distribution in the wanted one; 0 unless the class
            says that it smooths labels.

    Raises:
        FedlabError: If the criterion does not fit the task.
    """

    smooths_labels: ClassVar[bool] = False
    """Whether ``client.label_smoothing`` goes with it."""
    weighs_classes: ClassVar[bool] = False
    """Whether ``client.class_weights`` goes with it: its ``loss`` heeds ``class_weights``."""
    couples_examples: ClassVar[bool] = False
    """Whether an example's loss depends on the others of its batch, as in contrastive learning:
    then a batch cannot be computed in pieces."""
    class_weights: torch.Tensor | None = None
    """(classes,) what an example's loss is multiplied by, or None for 1."""

    def __init__(self, task: Task, label_smoothing: float = 0.0) -> None:
        self.task = task
        self.label_smoothing = label_smoothing

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the batch's counted targets, a scalar.

        Args:
            outputs: (N, K), or (N, T, K) where every position is predicted; (V, N, K) where the
                task's draw makes V views of each input.
            targets: (N,) or (N, T) classes; (N, K) numbers; (N, K) class probabilities (mixup).
        """
        if outputs.ndim == 3:
            outputs = outputs.flatten(0, 1)
            targets = targets.flatten(0, 1)
        return self.loss(outputs, targets)

    def counted(self, targets: torch.Tensor) -> torch.Tensor | int:
        """Return how many of a batch's targets the mean is over: padding is not."""
        if targets.is_floating_point():
            return len(targets)
        return (targets != self.task.padding).sum()

    def weights_at(self, device: torch.device) -> torch.Tensor | None:
        """Return the class weights on a device, or None where all are 1."""
        return None if self.class_weights is None else self.class_weights.to(device)

    @abstractmethod
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of outputs (N, K) against targets (N,) or (N, K), a scalar."""


def build_criterion(
    name: str, task: Task, label_smoothing: float = 0.0, weighs_classes: bool = False
) -> Criterion:
    """Return the task loss of this name.

    Args:
        name: A registered criterion, ``module:Class``, or "auto" for the task's own.
        task: The task.
        label_smoothing: For cross-entropy (Szegedy et al. 2016).
        weighs_classes: Whether rare classes count more, by the task's ``class_counts``.

    Raises:
        FedlabError: If there is none, or it does not fit the task.
    """
    if name == AUTO:
        name = task.conventions.criterion
    found: type[Criterion] = criteria.get(name)
    if label_smoothing and not found.smooths_labels:
        raise FedlabError(f"client.label_smoothing: it goes with cross-entropy, not '{name}'")
    criterion = found(task, label_smoothing)
    if weighs_classes:
        if not found.weighs_classes:
            raise FedlabError(f"client.class_weights: they go with cross-entropy, not '{name}'")
        criterion.class_weights = balanced_weights(task.class_counts)
    return criterion


def balanced_weights(counts: Sequence[int]) -> torch.Tensor:
    """Return N / (K n_k) for each class k, (K,), as scikit-learn's ``class_weight="balanced"``.

    A class without examples has weight 1. Weighted losses are divided by the number of examples,
    not by the sum of weights, so that batches, shards and clients add up; their mean over all
    training examples is one of classes, each counting alike.
    """
    found = torch.tensor(counts, dtype=torch.float64)
    whole = found.sum() / (found > 0).sum().clamp(min=1)
    return torch.where(found > 0, whole / found.clamp(min=1), 1.0).float()


def as_numbers(targets: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return targets as numbers to compare outputs (N, K) with; classes become one-hot vectors."""
    if targets.is_floating_point():
        return targets.view_as(outputs)
    if outputs.shape[-1] == 1:
        return targets.view_as(outputs).to(outputs.dtype)
    return functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)


def adapted(found: type[Any]) -> type[Any]:
    """Return a third party's criterion as one of ours.

    A loss of PyTorch's (a module that is called on outputs and targets, such as
    ``torch.nn:HuberLoss``) gets outputs and targets as they are, numbers in the outputs' shape.

    Raises:
        FedlabError: If it is neither a criterion nor a module.
    """
    if issubclass(found, Criterion):
        return found
    if not issubclass(found, nn.Module):
        raise FedlabError(
            f"client.criterion: '{found.__module__}:{found.__qualname__}' is neither a Criterion "
            "nor a loss of PyTorch's"
        )

    class Adapted(Criterion):
        __doc__ = found.__doc__

        def __init__(self, task: Task, label_smoothing: float = 0.0) -> None:
            super().__init__(task, label_smoothing)
            self._module = found()

        def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            wanted = targets.view_as(outputs) if targets.is_floating_point() else targets
            value: torch.Tensor = self._module(outputs, wanted)
            return value

    Adapted.__name__ = Adapted.__qualname__ = found.__qualname__
    return Adapted
