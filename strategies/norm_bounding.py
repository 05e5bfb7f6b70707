"""Norm bounding: updates clipped to a norm, with noise (Sun et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    shares,
    updates,
)
from fedlab.registry import strategies


class NormBoundingSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` with name = "norm-bounding"."""

    bound: float = Field(1.0, gt=0, description="M: the largest norm of an update")
    noise: float = Field(
        0.0, ge=0, description="standard deviation of the noise added to each weight"
    )


@strategies.register("norm-bounding")
class NormBounding(VectorStrategy):
    """Norm bounding: FedAvg of clipped updates, with noise (Sun et al. 2019, FL-NeurIPS).

    w ← w + Σ αᵢ Δᵢ / max(1, ‖Δᵢ‖ / M) + N(0, σ²), with αᵢ the shares of examples (their section 4,
    "norm thresholding of updates" and "weak differential privacy").
    """

    Settings: ClassVar[type[VectorStrategySettings]] = NormBoundingSettings
    traits = Traits(statistics="median")

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the weights moved by the mean of the bounded updates."""
        points = updates(weights, replies)
        norms = np.linalg.norm(points, axis=1)
        factors = 1 / np.maximum(1, norms / self.settings.bound)
        new = weights + (shares(replies) * factors) @ points
        if self.settings.noise:
            # The rounds loop has seeded the global generator for this round.
            new = new + np.random.normal(0, self.settings.noise, new.shape)
        return np.asarray(new)
