"""RFA: robust federated aggregation by the geometric median (Pillutla et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from fedlab.algorithm import robust
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


class RfaSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` with name = "rfa"."""

    iterations: int = Field(
        3, ge=1, le=1000, description="steps of the Weiszfeld algorithm; 3 is the paper's choice"
    )
    smoothing: float = Field(
        1e-6, gt=0, description="ν: smaller distances count as ν (in units of the update)"
    )


@strategies.register("rfa")
class Rfa(VectorStrategy):
    """RFA: the clients' geometric median, by Weiszfeld steps (Pillutla et al. 2022, IEEE TSP).

    Minimises Σ αᵢ ‖z − wᵢ‖ over z (their equation 3) by the smoothed Weiszfeld algorithm: βᵢ =
    αᵢ / max(ν, ‖z − wᵢ‖), then z ← Σ βᵢ wᵢ / Σ βᵢ (Algorithm 2). It starts from the weighted mean
    or from the median of each coordinate, whichever has the smaller sum: a few steps cannot leave a
    mean that one outlier has moved far, nor the weights that were sent where one client returns
    just these. The αᵢ are shares of examples as in the paper; ``weighting = "clients"`` prevents
    attackers from claiming many.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = RfaSettings
    traits = Traits(statistics="median")

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the geometric median of the clients' weights."""
        alphas, device = shares(replies), self.device
        steps = self.settings.iterations, self.settings.smoothing
        if robust.is_used(device):
            points = [reply.weights for reply in replies]
            median = robust.geometric_median(points, weights, alphas, *steps, device)
        else:
            median = geometric_median(updates(weights, replies), alphas, *steps)
        return np.asarray(weights + median)


def geometric_median(points: Vector, alphas: Vector, iterations: int, smoothing: float) -> Vector:
    """Return the result of smoothed Weiszfeld steps from the better of mean and median.

    Args:
        points: (n, d).
        alphas: (n,) the points' weights.
        iterations: The number of steps.
        smoothing: ν.
    """
    starts: list[Vector] = [alphas @ points, np.median(points, axis=0)]
    median = min(starts, key=lambda start: float(alphas @ _distances(points, start)))
    for _ in range(iterations):
        betas = alphas / np.maximum(smoothing, _distances(points, median))
        median = betas @ points / betas.sum()
    return np.asarray(median)


def _distances(points: Vector, centre: Vector) -> Vector:
    return np.asarray(np.linalg.norm(points - centre, axis=1))
