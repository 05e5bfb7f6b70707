"""Centred clipping: the radius limits the influence of each update (Karimireddy et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

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


class CentredClippingSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` with name = "centred-clipping"."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in a mean; the paper counts clients"
    )
    radius: float = Field(
        1.0, gt=0, description="τ: the clipping radius, in units of the update's norm"
    )
    iterations: int = Field(1, ge=1, le=1000, description="clipping steps a round")


@strategies.register("centred-clipping")
class CentredClipping(VectorStrategy):
    """Centred clipping: updates clipped around the last step (Karimireddy et al. 2021, ICML).

    With v the last round's aggregate (at first 0) and xᵢ the updates, each iteration sets
    v ← v + 1/n Σ (xᵢ − v) min(1, τ / ‖xᵢ − v‖) (their equation 5), and v is added to the weights.
    The paper's clients send momenta: that is client ``worker-momentum``.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = CentredClippingSettings
    traits = Traits(statistics="median")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.centre: Vector = np.zeros(1)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the weights moved by the clipped updates' centre."""
        points, alphas = updates(weights, replies), shares(replies)
        centre: Any = np.broadcast_to(self.centre, weights.shape).astype(np.float64)
        for _ in range(self.settings.iterations):
            gaps = points - centre
            norms = np.linalg.norm(gaps, axis=1)
            factors = self.settings.radius / np.maximum(norms, self.settings.radius)
            centre = centre + (alphas * factors) @ gaps
        self.centre = centre
        return np.asarray(weights + centre)
