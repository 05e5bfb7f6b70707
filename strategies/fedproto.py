"""FedProto's server: the mean of the clients' prototypes."""

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


class FedProtoSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FedProto."""

    name: str = "fedproto"
    prototype_attraction: float = Field(
        0.001,
        ge=0,
        description="λ, the strength of the pull of clients' prototypes towards the global ones; "
        "the squares of all features are added, and not averaged as where λ = 1 is usual",
    )
    weighting: Literal["clients"] = Field(
        "clients", description="clients send sums over examples, which are added without weights"
    )


@strategies.register("fedproto")
class FedProto(VectorStrategy):
    """FedProto: class prototypes averaged over examples (Tan et al. 2022, AAAI).

    "FedProto: Federated Prototype Learning across Heterogeneous Clients", equation 6: C̄^(j) = Σ_i
    |D_ij| C_i^(j) / Σ_i |D_ij| over the clients i that hold class j, from their Σ_x f_i(x) and
    |D_ij|. (The equation as printed divides by the number of these clients once more, which would
    shrink a mean of means; this does not. The authors' code takes the plain mean over clients.) A
    class that nobody in the cohort holds keeps its prototype. No weights travel, so nothing is
    tested on the server. Its clients are "fedproto".
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedProtoSettings
    traits = Traits(takes_mean=True, client="fedproto")
    settings: FedProtoSettings

    def __init__(self, settings: FedProtoSettings) -> None:
        super().__init__(settings)
        self.prototypes: Vector | None = None
        self.known: Vector | None = None

    def values(self, server_round: int) -> dict[str, Scalar]:
        """Return λ."""
        return {"prototype-attraction": self.settings.prototype_attraction}

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return the global prototypes (classes × features,) and which classes have one."""
        if self.prototypes is None or self.known is None:
            return {}
        return {"prototypes": self.prototypes.ravel(), "prototypes-known": self.known}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Store the new prototypes; the weights, of which none travel, stay."""
        counts = mean(replies, lambda reply: reply.arrays["prototype-counts"])
        sums = mean(replies, lambda reply: reply.arrays["prototype-sums"])
        new = sums.reshape(len(counts), -1) / np.maximum(counts, 1e-12)[:, None]
        held = counts > 0
        if self.prototypes is None or self.known is None:
            self.prototypes, self.known = np.zeros_like(new), np.zeros(len(counts))
        self.prototypes = np.where(held[:, None], new, self.prototypes)
        self.known = np.where(held, 1.0, self.known)
        return weights
