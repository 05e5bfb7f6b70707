"""SCAFFOLD's server: control variates against client drift (Karimireddy et al. 2020, ICML)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.registry import strategies


class ScaffoldSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in both means: 1, as in the paper, or examples"
    )
    server_learning_rate: float = Field(1.0, gt=0, description="η_g")


@strategies.register("scaffold")
class Scaffold(VectorStrategy):
    """SCAFFOLD: control variates correct client drift (Karimireddy et al. 2020, ICML).

    Equation 5, with S the cohort and N the number of all clients:

        x ← x + η_g/|S| Σ Δyᵢ
        c ← c + 1/N Σ Δcᵢ = c + |S|/N · (mean of Δcᵢ)

    If weighted by examples, both means are, and c estimates the gradient of the weighted objective.

    Attributes:
        control: (parameters,) c, the server's control variate; None before the first round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = ScaffoldSettings
    traits = Traits(takes_mean=True, client="scaffold")

    def __init__(self, settings: ScaffoldSettings) -> None:
        super().__init__(settings)
        self.control: Vector | None = None

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return c."""
        if self.control is None:
            self.control = np.zeros(len(weights))
        return {"control": self.control}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return x + η_g (mean of yᵢ − x), and update c."""
        old = weights.astype(np.float64)
        new: Vector = old + self.settings.server_learning_rate * (mean(replies) - old)
        change = mean(replies, lambda reply: reply.arrays["control"])
        self.control = self.control + self.participation(replies) * change
        return new
