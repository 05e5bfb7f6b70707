"""The contract of a set of metrics: sums over batches and workers, and numbers computed from them.

A set of metrics is a small class in ``fedlab/metrics/kinds``, or anywhere by ``module:Class``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from fedlab.data.dataset import Task

Sums = dict[str, Tensor]


class MetricSet(ABC):
    """The metrics of a task, beside the loss. It keeps nothing of what it has counted.

    Args:
        task: What is learned; positions whose target is ``task.padding`` are not counted.
    """

    names: ClassVar[tuple[str, ...]]
    """Names of the metrics, in the order in which they are shown."""
    kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of task that ``evaluation.metrics`` may ask these metrics of; none where the set is
    only ever a task's own."""
    has_confusion: ClassVar[bool] = False
    """Whether the sums "confusion" are a matrix that a run's report shows."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return how many numbers each of the sums has."""

    @abstractmethod
    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return what a batch adds to the sums, by name; nothing where it adds nothing.

        Args:
            outputs: (N, K) or (N, T, K): scores before the softmax, or predicted numbers.
            targets: (N,) or (N, T) classes, or (N, K) numbers.
        """

    def joined(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        """Return what two parts of the examples say together, whatever their order.

        Args:
            name: Which of the sums.
            first, second: What either part says, float64.
        """
        return first + second

    @abstractmethod
    def compute(self, sums: Sums) -> dict[str, float]:
        """Return the metrics of what was counted, by name, in order.

        One that these examples do not define, as AUROC of a single class, is left out.

        Args:
            sums: Float64, by name, at least one example's.
        """
