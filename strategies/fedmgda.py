"""FedMGDA+: a direction that lowers every client's loss."""

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


class FedMgdaSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FedMGDA+."""

    name: str = "fedmgda+"
    eta: float = Field(1.0, gt=0, description="η, the server's step size")
    decay: float = Field(1.0, gt=0, le=1, description="factor of η after every round")
    epsilon: float = Field(
        0.1,
        ge=0,
        le=1,
        description="ε, the largest difference of λ from FedAvg's weights; 0 keeps them",
    )


@strategies.register("fedmgda+")
class FedMgda(VectorStrategy):
    """FedMGDA+: the direction that lowers every client's loss, normalised (Hu et al. 2022, TNSE).

    "Federated Learning Meets Multi-Objective Optimization", Algorithm 1:

        gᵢ = (wᵗ − wᵢ) / ‖wᵗ − wᵢ‖           (normalised: a larger change gives no larger weight)
        λ* = argmin_λ ‖Σᵢ λᵢ gᵢ‖² over the simplex with |λᵢ − λ⁰ᵢ| ≤ ε, λ⁰ FedAvg's weights
        wᵗ⁺¹ = wᵗ − η Σᵢ λ*ᵢ gᵢ

    ε = 0 is FedAvg of normalised updates, ε = 1 Désidéri's multiple-gradient descent (MGDA). A
    client that did not move has no direction and no share: with gᵢ = 0 it would be the shortest
    mixture by itself, and nobody would learn any more.

    Attributes:
        mixture: λ* of the last round, in the order of its clients.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedMgdaSettings

    def __init__(self, settings: FedMgdaSettings) -> None:
        super().__init__(settings)
        self.mixture: Vector = np.empty(0)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the weights after a step along the common direction."""
        settings = self.settings
        gradients = -updates(weights, replies)
        lengths = np.linalg.norm(gradients, axis=1)
        moved = lengths > 0
        self.mixture = np.zeros(len(replies))
        if not moved.any():
            return weights
        directions = gradients[moved] / lengths[moved, None]
        center = shares([reply for reply, has in zip(replies, moved, strict=True) if has])
        self.mixture[moved] = least_norm(directions @ directions.T, center, settings.epsilon)
        rate = settings.eta * settings.decay ** (server_round - 1)
        return np.asarray(weights - rate * (self.mixture[moved] @ directions))

    def record(self) -> dict[str, Any]:
        """Return the smallest and the largest of the round's λ*."""
        return {"least_share": self.mixture.min(), "largest_share": self.mixture.max()}


def least_norm(gram: Vector, center: Vector, epsilon: float) -> Vector:
    """Return argmin λᵀ G λ over the simplex with |λ − center| ≤ ε, value by value.

    This small convex problem is solved by sequential least squares (Kraft 1988, SciPy's SLSQP).

    Args:
        gram: (n, n) G, the inner products of the gradients.
        center: (n,) a point of the simplex.
        epsilon: ε, at least 0.
    """
    from scipy.optimize import minimize

    if epsilon == 0 or len(center) == 1:
        return center
    lower, upper = np.maximum(center - epsilon, 0), np.minimum(center + epsilon, 1)
    solved = minimize(
        lambda point: point @ gram @ point,
        center,
        jac=lambda point: 2 * gram @ point,
        method="SLSQP",
        bounds=list(zip(lower, upper, strict=True)),
        constraints={
            "type": "eq",
            "fun": lambda point: point.sum() - 1,
            "jac": lambda point: np.ones_like(point),
        },
        options={"ftol": 1e-12, "maxiter": 500},
    )
    inside = np.clip(solved.x, lower, upper)
    return np.asarray(inside / inside.sum())
