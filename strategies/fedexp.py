"""FedExP: extrapolated server steps (Jhunjhunwala et al. 2023, ICLR)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Scalar,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.registry import strategies
from fedlab.wire.protocol import SQUARED_CHANGE


class FedExPSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in a mean: 1, as in the paper, or examples"
    )
    epsilon: float = Field(1e-3, ge=0, description="ε; larger values give shorter steps")


@strategies.register("fedexp")
class FedExP(VectorStrategy):
    """FedExP: larger server steps when clients' changes disagree (Jhunjhunwala et al. 2023, ICLR).

    Algorithm 1, with Δᵢ = x − yᵢ, Δ̄ their weighted mean and pᵢ the weights (there 1/M):

        η_g = max(1, Σ pᵢ ‖Δᵢ‖² / (2 (‖Δ̄‖² + ε)))
        x ← x − η_g Δ̄

    Clients send ‖Δᵢ‖² with their weights, so their mean is sufficient.

    Attributes:
        server_rate: η_g of the last round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedExPSettings
    traits = Traits(takes_mean=True)

    def __init__(self, settings: FedExPSettings) -> None:
        super().__init__(settings)
        self.server_rate = 1.0

    def values(self, server_round: int) -> dict[str, Scalar]:
        """Return the request for ‖Δᵢ‖²."""
        return {SQUARED_CHANGE: True}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return x − η_g Δ̄."""
        old = weights.astype(np.float64)
        change: Vector = old - mean(replies)
        squares = mean(replies, lambda reply: reply.metrics["squared_change"])
        self.server_rate = max(
            1.0, float(squares / (2 * (change @ change + self.settings.epsilon)))
        )
        return old - self.server_rate * change
