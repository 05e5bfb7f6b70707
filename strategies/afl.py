"""Agnostic federated learning: the best model for the worst mixture of clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from pydantic import Field

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy, VectorStrategySettings
from fedlab.registry import strategies


class AflSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for agnostic federated learning."""

    name: str = "afl"
    mixture_rate: float = Field(
        0.1,
        ge=0,
        description="γ_λ, the step size of the mixture, towards clients with a large loss",
    )


@strategies.register("afl")
class Afl(VectorStrategy):
    """AFL: minimises the loss of the worst mixture of clients (Mohri et al. 2019, ICML).

    "Agnostic Federated Learning", section 4.2, Stochastic-AFL, with each client a domain:

        min_w max_{λ ∈ Λ} Σₖ λₖ Lₖ(w), Λ the simplex over all clients, λ⁰ uniform
        wᵗ⁺¹ = Σₖ λₖᵗ wₖ        (wₖ reached from wᵗ; one local step is the paper's gradient step)
        λᵗ⁺¹ = Π_Λ(λᵗ + γ_λ ∇_λ L(wᵗ, λᵗ)), where (∇_λ L)ₖ = Lₖ(wᵗ)

    Of a cohort of m among p clients, the gradient in λ is estimated by (p/m) Lₖ(wᵗ) for the clients
    in it and 0 for the others, and λ is scaled to sum to 1 over the cohort. Clients report Lₖ(wᵗ);
    ``weighting`` has no effect.

    Attributes:
        mixture: λ, by node; nodes not in it have the initial share, 1/p.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = AflSettings
    traits = Traits(client="afl")

    def __init__(self, settings: AflSettings) -> None:
        super().__init__(settings)
        self.mixture: dict[str, float] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the cohort's messages; initialise the shares in the first round."""
        if not self.mixture:
            nodes = list(grid.get_node_ids())
            self.mixture = {str(node): 1 / len(nodes) for node in nodes}
        return super().configure_train(server_round, arrays, config, grid)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mixture of the clients' weights, and update λ."""
        shares = np.array([self.mixture[str(reply.client)] for reply in replies])
        if not shares.any():
            shares += 1.0
        mixed = sum(
            share * np.asarray(reply.weights, np.float64)
            for share, reply in zip(shares / shares.sum(), replies, strict=True)
        )
        self._move_mixture(replies)
        return np.asarray(mixed)

    def _move_mixture(self, replies: Sequence[Reply]) -> None:
        moved = dict(self.mixture)
        scale = self.settings.mixture_rate * len(moved) / len(replies)
        for reply in replies:
            moved[str(reply.client)] += scale * reply.metrics["received_loss"]
        projected = onto_simplex(np.array(list(moved.values())))
        self.mixture = {node: float(x) for node, x in zip(moved, projected, strict=True)}

    def record(self) -> dict[str, Any]:
        """Return the distance of the mixture from the uniform one."""
        shares = np.array(list(self.mixture.values()))
        return {"clients_with_a_share": int((shares > 0).sum()), "largest_share": shares.max()}


def onto_simplex(point: Vector) -> Vector:
    """Return the projection on the simplex: values that are at least 0 and sum to 1.

    Source: Duchi et al. 2008, ICML, "Efficient Projections onto the l1-Ball", figure 1.

    Args:
        point: (n,).
    """
    falling = np.sort(point)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(point) + 1)
    threshold = excess[np.flatnonzero(falling > excess)[-1]]
    return np.asarray(np.maximum(point - threshold, 0))
