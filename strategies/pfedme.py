"""pFedMe's server: a step towards the mean of the clients' weights."""

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


class PFedMeSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for pFedMe."""

    name: str = "pfedme"
    beta: float = Field(1.0, gt=0, description="β, the step towards the mean; above 1 extrapolates")
    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in the mean: 1, or its examples"
    )


@strategies.register("pfedme")
class PFedMe(VectorStrategy):
    """pFedMe: wᵗ⁺¹ = (1 − β) wᵗ + β mean wᵢ (T Dinh, Tran and Nguyen 2020, NeurIPS).

    "Personalized Federated Learning with Moreau Envelopes", Algorithm 1, last line: the mean is
    over the cohort, with equal weights. Its clients are "pfedme".
    """

    Settings: ClassVar[type[VectorStrategySettings]] = PFedMeSettings
    traits = Traits(takes_mean=True)
    settings: PFedMeSettings

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return (1 − β) wᵗ + β mean wᵢ."""
        beta = self.settings.beta
        return np.asarray((1 - beta) * weights + beta * mean(replies))
