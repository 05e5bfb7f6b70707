"""The server of clients that align the features of their domains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from fedlab.algorithm.domains import SOURCE, TARGET, DomainClient
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.registry import strategies


class DomainMeansSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    name: str = "domain-means"


@strategies.register("domain-means")
class DomainMeans(VectorStrategy):
    """FedAvg (McMahan et al. 2017), and the means of what source and target clients tell.

    With weights wₖ and the vectors vₖ of clients k,

        s ← Σ_source wₖ vₖ / Σ_source wₖ,   t ← Σ_target wₖ vₖ / Σ_target wₖ

    go to all clients of the next round; the vector of a kind that was not in the cohort stays.
    Clients send (1, vₖ) as their own kind's and zeros as the other's, so that sums are enough.

    Attributes:
        source, target: s and t; None before the first is known.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = DomainMeansSettings
    traits = Traits(takes_mean=True)

    def __init__(self, settings: DomainMeansSettings) -> None:
        super().__init__(settings)
        self.source: Vector | None = None
        self.target: Vector | None = None

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where clients tell nothing of their features."""
        yield from super().objections(setup)
        if not isinstance(setup.algorithm, DomainClient):
            yield (
                "strategy.name: 'domain-means' averages what clients tell of their features, and "
                f"client '{setup.scenario.client.name}' tells nothing; set client.name to 'coral', "
                "'mmd' or 'dann', or strategy.name = 'fedavg'"
            )

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return s and t, where they are known."""
        known = {SOURCE: self.source, TARGET: self.target}
        return {name: vector for name, vector in known.items() if vector is not None}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of the weights, and update s and t."""
        self.source = _mean_of(replies, SOURCE, self.source)
        self.target = _mean_of(replies, TARGET, self.target)
        new: Vector = mean(replies)
        return new


def _mean_of(replies: Sequence[Reply], kind: str, before: Vector | None) -> Vector | None:
    """Return the mean vector of a kind of clients, or that from before where there were none."""
    told = mean(replies, lambda reply: reply.arrays[kind])
    return told[1:] / told[0] if told[0] > 0 else before
