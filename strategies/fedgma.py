"""FedGMA: gradient masked averaging (Tenison et al. 2023, TMLR)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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


class FedGmaSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    agreement: float = Field(
        0.4, ge=0, le=1, description="τ: changes whose signs agree as much are taken whole"
    )
    server_rate: float = Field(1.0, gt=0, le=100, description="η, the server's learning rate")


@strategies.register("fedgma")
class FedGma(VectorStrategy):
    """FedGMA: changes on whose sign clients disagree are damped (Tenison et al. 2023, TMLR).

    "Gradient masked averaging for federated learning", Algorithm 1, with changes Δₖ of clients of
    weights pₖ, value by value:

        A = |Σ pₖ sign(Δₖ)|,   m = 1 where A ≥ τ, else A
        x ← x + η m ∘ Σ pₖ Δₖ

    What all domains agree on is learned at the full rate: features that hold in one domain only
    are not.

    Attributes:
        agreeing: The fraction of values with m = 1 in the last round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedGmaSettings
    settings: FedGmaSettings

    def __init__(self, settings: FedGmaSettings) -> None:
        super().__init__(settings)
        self.agreeing = 1.0

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return x + η m ∘ Σ pₖ Δₖ."""
        changes, weight = updates(weights, replies), shares(replies)
        agreement = np.abs(weight @ np.sign(changes))
        whole = agreement >= self.settings.agreement
        self.agreeing = float(whole.mean())
        mask = np.where(whole, 1.0, agreement)
        new: Vector = weights + self.settings.server_rate * mask * (weight @ changes)
        return new

    def record(self) -> dict[str, float]:
        """Return the fraction of values on whose direction clients agreed."""
        return {"agreeing": self.agreeing}
