"""FedDyn's server: dynamic regularisation (Acar et al. 2021, ICLR)."""

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


class FedDynSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in a mean: 1, as in the paper, or examples"
    )
    alpha: float = Field(0.1, gt=0, description="α, the strength of the regularisation")


@strategies.register("feddyn")
class FedDyn(VectorStrategy):
    """FedDyn: local objectives aligned to a common stationary point (Acar et al. 2021, ICLR).

    Algorithm 1, server, with P the cohort, m the number of all clients and h at first 0:

        h ← h − α/m Σ (θₖ − θ)
        θ ← 1/|P| Σ θₖ − h/α

    Attributes:
        h: (parameters,) the mean of all clients' linear terms; None before the first round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedDynSettings
    traits = Traits(takes_mean=True, client="feddyn")

    def __init__(self, settings: FedDynSettings) -> None:
        super().__init__(settings)
        self.h: Vector | None = None

    def values(self, server_round: int) -> dict[str, Scalar]:
        """Return α."""
        return {"alpha": self.settings.alpha}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of θₖ − h/α."""
        new: Vector = mean(replies)
        alpha = self.settings.alpha
        moved = new - weights.astype(np.float64)
        before = np.zeros_like(moved) if self.h is None else self.h
        self.h = before - alpha * self.participation(replies) * moved
        return np.asarray(new - self.h / alpha)
