"""Meta-SGD's server: weights and rates of adaptation take the same step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from pydantic import Field

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategySettings,
    mean,
    record_of,
)
from fedlab.registry import strategies
from strategies.fedopt import FedOpt, FedOptSettings, ServerOptimizerSettings

RATES = "rates"


class MetaSgdSettings(FedOptSettings):
    """Keys of ``[strategy]``."""

    name: str = "meta-sgd"
    optimizer: ServerOptimizerSettings = Field(
        default_factory=lambda: ServerOptimizerSettings(name="SGD", lr=1.0),
        description="what takes the step; sgd at the rate 1 takes the plain mean",
    )
    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in both means: 1, or its examples"
    )


@strategies.register("meta-sgd")
class MetaSgd(FedOpt):
    """Meta-SGD: weights and rates are averaged alike (Chen et al. 2018, arXiv).

    "Federated Meta-Learning with Fast Convergence and Efficient Communication", Algorithm 1: the
    mean of the clients' (θ, α), or a server optimiser's step towards it. Its clients are
    "meta-sgd". Both travel in both directions: twice the bytes of MAML.

    Attributes:
        rates: (parameters,) by how much α differs from what clients begin with; None before the
            first round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = MetaSgdSettings
    traits = Traits(takes_mean=True, client="meta-sgd")

    def __init__(self, settings: MetaSgdSettings) -> None:
        super().__init__(settings)
        self.rates: Vector | None = None

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return α, once it has changed."""
        return self.for_new_clients()

    def for_new_clients(self) -> dict[str, Vector]:
        """Return α, once it has changed."""
        return {} if self.rates is None else {RATES: self.rates}

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return messages with α, by which clients adapt before they are evaluated."""
        messages = list(super().configure_evaluate(server_round, arrays, config, grid))
        for name, vector in self.for_new_clients().items():
            if messages:
                messages[0].content[name] = record_of(vector)
        return messages

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the new weights, and take α's step."""
        count = len(weights)
        rates = np.zeros(count, np.float32) if self.rates is None else self.rates
        reached = np.concatenate(
            [mean(replies), mean(replies, lambda reply: reply.arrays[RATES])]
        ).astype(np.float32)
        joined = replace(replies[0], weight=1.0, weights=reached)
        new = super().step(server_round, np.concatenate([weights, rates]), [joined])
        self.rates = new[count:]
        return new[:count]
