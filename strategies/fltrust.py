"""FLTrust: clients are trusted if they agree with the server's own update (Cao et al. 2021)."""

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
    updates,
)
from fedlab.registry import strategies


class FlTrustSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` with name = "fltrust"."""

    root_examples: int = Field(
        100,
        ge=1,
        description="training examples that the server holds: drawn before the data is split, so "
        "that no client has them and they are not tested on",
    )
    rate: float = Field(1.0, gt=0, description="α: the server's learning rate")


@strategies.register("fltrust")
class FlTrust(VectorStrategy):
    """FLTrust: updates scaled to, and weighed by, the server's own (Cao et al. 2021, NDSS).

    The server trains on a small root data set as a client would: g₀. Trust TSᵢ =
    max(0, cos(gᵢ, g₀)), then w ← w + α / Σ TSᵢ · Σ TSᵢ (‖g₀‖ / ‖gᵢ‖) gᵢ (Algorithm 2). If nobody
    is trusted, the weights stay as they are. Examples and ``weighting`` have no effect.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FlTrustSettings
    traits = Traits(needs_root=True, statistics="median")

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the weights moved by the trusted part of the updates."""
        root = np.asarray(self.train_on_root(server_round, weights), np.float64) - weights
        move = trusted_mean(updates(weights, replies), root)
        return np.asarray(weights + self.settings.rate * move)


def trusted_mean(points: Vector, root: Vector) -> Vector:
    """Return Σ TSᵢ (‖g₀‖ / ‖gᵢ‖) gᵢ / Σ TSᵢ, or zeros if all trust is zero.

    Args:
        points: (n, d) the clients' updates gᵢ.
        root: (d,) the server's update g₀.
    """
    norms, length = np.linalg.norm(points, axis=1), np.linalg.norm(root)
    # A zero update has no direction, and no trust.
    safe = np.where(norms > 0, norms, np.inf)
    trust = np.maximum(0, points @ root / (safe * max(length, np.finfo(float).tiny)))
    if trust.sum() == 0:
        return np.zeros_like(root)
    return np.asarray((trust * length / safe) @ points / trust.sum())
