"""Metrics of reconstructed inputs."""

from __future__ import annotations

from typing import ClassVar

from fedlab.metrics.contract import Sums
from fedlab.metrics.kinds.regression import Regression
from fedlab.registry import metrics


@metrics.register("reconstruction")
class Reconstruction(Regression):
    """Root mean squared error of a value of the prepared inputs."""

    names: ClassVar[tuple[str, ...]] = ("rmse",)

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return the error."""
        return {"rmse": super().compute(sums)["rmse"]}
