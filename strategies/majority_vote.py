"""signSGD with majority vote (Bernstein et al. 2018, 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    shares,
)
from fedlab.registry import strategies

MOST = 0.1
"""How long a step may be, as a share of pretrained weights' usual size, without a word about it."""


class MajorityVoteSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="votes of a client: 1, as in the paper, or its examples"
    )
    lr: float = Field(
        0.015,
        gt=0,
        description="η, how far each weight moves in the first round; of pretrained weights a "
        "twentieth of their usual size",
    )
    decay: float = Field(
        0.95, gt=0, le=1, description="what the learning rate is multiplied by after each round"
    )


@strategies.register("majority-vote")
class MajorityVote(VectorStrategy):
    """signSGD with majority vote: each weight moves by η the way of most (Bernstein et al. 2018).

    "signSGD: Compressed Optimisation for Non-Convex Problems", Algorithm 1, with a client's change
    Δᵢ in the place of a stochastic gradient's negative:

        x ← x + η sign(Σ pᵢ sign(Δᵢ))

    Nobody moves a weight further than another, so that it also withstands a minority of malicious
    clients (Bernstein et al. 2019, "signSGD with Majority Vote is Communication Efficient and Fault
    Tolerant"). With update processor "sign" a client's vote takes one bit. The step is as long in
    the last round as in the first unless η decays.

    Attributes:
        lr: η of the next round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = MajorityVoteSettings

    def __init__(self, settings: MajorityVoteSettings) -> None:
        super().__init__(settings)
        self.lr = settings.lr
        self._agreement = 0.0

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the weights, each a step of the way that most clients went."""
        votes: Vector = np.zeros(len(weights))
        for share, reply in zip(shares(replies), replies, strict=True):
            votes += share * np.sign(np.asarray(reply.weights, np.float64) - weights)
        # What adds up to nothing but for rounding is a tie.
        votes[np.abs(votes) < 1e-9] = 0.0
        self._agreement = float(np.abs(votes).mean())
        new: Vector = weights + self.lr * np.sign(votes)
        self.lr *= self.settings.decay
        return new

    def notes(self, setup: Setup) -> Iterator[str]:
        """Yield whether a step is long beside the pretrained weights that it moves.

        Args:
            setup: All parts of the run.
        """
        if not setup.scenario.model.pretrained:
            return
        model = setup.network.model
        views = model.layout.wire_views(model.wire())
        sizes = {
            entry.name: float(views[entry.name].square().mean().sqrt())
            for entry in model.layout.shared_entries
            if len(entry.shape) > 1 and not entry.name.startswith(setup.network.head)
        }
        if sizes and self.settings.lr > MOST * (usual := median(sizes.values())):
            yield (
                f"strategy.lr: every weight moves by {self.settings.lr:g} a round, and pretrained "
                f"ones are about {usual:.2g}: they are soon lost; try {0.05 * usual:.1g}"
            )

    def record(self) -> dict[str, Any]:
        """Return how far the clients agreed: 1 where all votes were the same, 0 where all tied."""
        return {"agreement": self._agreement}
