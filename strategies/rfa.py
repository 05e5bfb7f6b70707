"""RFA: robust federated aggregation by the geometric median (Pillutla et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    shares,
    updates,
)
from fedlab.registry import strategies


class RfaSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` with name = "rfa"; the defaults are the paper's."""

    iterations: int = Field(3, ge=1, le=1000, description="steps of the Weiszfeld algorithm")
    smoothing: float = Field(
        1e-6, gt=0, description="ν: smaller distances count as ν (in units of the update)"
    )


@strategies.register("rfa")
class Rfa(VectorStrategy):
    """RFA: the clients' geometric median, by Weiszfeld steps (Pillutla et al. 2022, IEEE TSP).

    Minimises Σ αᵢ ‖z − wᵢ‖ over z (their equation 3) by the smoothed Weiszfeld algorithm: βᵢ =
    αᵢ / max(ν, ‖z − wᵢ‖), then z ← Σ βᵢ wᵢ / Σ βᵢ (Algorithm 2). It starts from the weights that
    were sent: a single outlier could move the mean arbitrarily far. The αᵢ are shares of examples
    as in the paper; ``weighting = "clients"`` prevents attackers from claiming many.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = RfaSettings

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the geometric median of the clients' weights."""
        median = geometric_median(
            updates(weights, replies),
            shares(replies),
            self.settings.iterations,
            self.settings.smoothing,
        )
        return np.asarray(weights + median)


def geometric_median(points: Vector, alphas: Vector, iterations: int, smoothing: float) -> Vector:
    """Return the result of smoothed Weiszfeld steps from the origin.

    Args:
        points: (n, d).
        alphas: (n,) the points' weights.
        iterations: The number of steps.
        smoothing: ν.
    """
    median: Any = np.zeros(points.shape[1])
    for _ in range(iterations):
        distances = np.linalg.norm(points - median, axis=1)
        betas = alphas / np.maximum(smoothing, distances)
        median = betas @ points / betas.sum()
    return np.asarray(median)
