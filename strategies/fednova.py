"""FedNova's server: normalised averaging of unequal local work (Wang et al. 2020, NeurIPS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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


class FedNovaSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    proximal_mu: float = Field(0.0, ge=0, description="µ of the clients' term µ/2 ‖w − x‖²")
    server_momentum: float = Field(0.0, ge=0, lt=1, description="momentum of the server's steps")


@strategies.register("fednova")
class FedNova(VectorStrategy):
    """FedNova: normalised averaging of unequal local work (Wang et al. 2020, NeurIPS).

    With dᵢ = (x − yᵢ) / (η ‖aᵢ‖₁) from the clients and weights pᵢ (section 4):

        x ← x − τ_eff Σ pᵢ η dᵢ        τ_eff = Σ pᵢ ‖aᵢ‖₁

    so that a client's influence does not grow with its number of steps. With server momentum γ the
    step is accumulated, u ← γ u + τ_eff Σ pᵢ η dᵢ and x ← x − u.

    Attributes:
        velocity: (parameters,) u; None before the first round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedNovaSettings
    traits = Traits(takes_mean=True, client="fednova")

    def __init__(self, settings: FedNovaSettings) -> None:
        super().__init__(settings)
        self.velocity: Vector | None = None

    def values(self, server_round: int) -> dict[str, Scalar]:
        """Return µ."""
        return {"proximal-mu": self.settings.proximal_mu}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return x − u."""
        effective = mean(replies, lambda reply: reply.metrics["accumulated_steps"])
        # Clients send −η dᵢ instead of their parameters.
        step: Vector = -effective * mean(replies)
        if self.velocity is not None:
            step = self.settings.server_momentum * self.velocity + step
        if self.settings.server_momentum:
            self.velocity = step
        return weights.astype(np.float64) - step
