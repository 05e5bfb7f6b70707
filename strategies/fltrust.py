"""FLTrust: clients are trusted if they agree with the server's own update (Cao et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    ServerContext,
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

    Attributes:
        train_on_root: Returns the weights after training on the root data, given the round and the
            initial weights.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FlTrustSettings
    traits = Traits(needs_root=True, statistics="median")
    train_on_root: Callable[[int, Vector], Vector]

    def begin(self, context: ServerContext) -> None:
        """Store the function that trains on the root data."""
        super().begin(context)
        assert context.train_on_root is not None
        self.train_on_root = context.train_on_root

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield an objection if the engine cannot train on the server's own data."""
        yield from super().objections(setup)
        if not setup.engine.holds_root:
            yield (
                f"engine.name: the nodes of engine '{setup.scenario.engine.name}' are all clients, "
                "and strategy 'fltrust' trains on the server's own data; use engine 'ray' or "
                "'inline'"
            )

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
