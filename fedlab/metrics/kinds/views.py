"""Metrics of projections of views, which belong to no class."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fedlab.data.dataset import Task
from fedlab.metrics.contract import MetricSet, Sums
from fedlab.registry import metrics


@metrics.register("views")
class Views(MetricSet):
    """How far projections are spread: 1 where evenly, 0 where all inputs have the same.

    It is the mean over dimensions of the deviation of z / ‖z‖ over examples, times √D (Chen and He
    2021, "Exploring Simple Siamese Representation Learning", CVPR, section 4.1): near 1 where
    projections are isotropic, and 0 where they have collapsed.
    """

    names: ClassVar[tuple[str, ...]] = ("spread",)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        assert task.projection is not None
        self._size = task.projection.sizes[-1]

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the sums of z / ‖z‖, of its square, and of the number of views."""
        return {"projected": self._size, "squares": self._size, "views": 1}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sums over views (V, N, D), or (V, N, 2 D) with their predictions."""
        projected = outputs.double().flatten(0, -2)[:, : self._size]
        unit = functional.normalize(projected, dim=1)
        views = torch.tensor([len(unit)])
        return {"projected": unit.sum(0), "squares": unit.square().sum(0), "views": views}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return the spread."""
        count = sums["views"]
        variance = sums["squares"] / count - (sums["projected"] / count).square()
        spread = variance.clamp(min=0).sqrt().mean() * self._size**0.5
        return {"spread": float(spread)}
