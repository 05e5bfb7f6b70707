"""Mime Lite's server: statistics of gradients at x (Karimireddy et al. 2021, NeurIPS)."""

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


class MimeLiteSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in a mean: 1, as in the paper, or examples"
    )
    base_algorithm: Literal["momentum", "adam", "adagrad"] = Field(
        "momentum", description="the optimiser whose statistics the server keeps and clients use"
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="β of momentum, β₁ of Adam (at 0: RMSProp); Adagrad has none"
    )
    beta_2: float = Field(0.99, ge=0, lt=1, description="β₂ of Adam")
    epsilon: float = Field(0.001, gt=0, description="ε of Adam and Adagrad")


@strategies.register("mimelite")
class MimeLite(VectorStrategy):
    """Mime Lite: the server's statistics in every client step (Karimireddy et al. 2021, NeurIPS).

    Algorithm 1 (MimeLite), where a base algorithm is a step U, which clients take with the
    received statistics, and a rule V, by which the server updates these once per round:

        x ← mean of yᵢ,   g = mean of ∇fᵢ(x)
        m ← (1 − β) g + β m                         momentum, Adam
        v ← (1 − β₂) g² + β₂ v                      Adam
            v + g²                                  Adagrad

    The gradients are over all of a client's examples, at the received x. m and v start at
    0, and Adam's have no bias correction; in the first round, in which v = 0 would give steps of
    η/ε, clients omit v.

    Attributes:
        momentum: (parameters,) m; None before there is a gradient, and with Adagrad.
        second_moment: (parameters,) v; None before there is a gradient, and with momentum.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = MimeLiteSettings
    traits = Traits(takes_mean=True, client="mimelite")
    settings: MimeLiteSettings

    def __init__(self, settings: MimeLiteSettings) -> None:
        super().__init__(settings)
        self.momentum: Vector | None = None
        self.second_moment: Vector | None = None

    def values(self, server_round: int) -> dict[str, Scalar]:
        """Return β."""
        has_none = self.settings.base_algorithm == "adagrad"
        return {"momentum": 0.0 if has_none else self.settings.momentum}

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return m and 1 / (ε + √v), if they exist."""
        sent = {} if self.momentum is None else {"momentum": self.momentum}
        if self.second_moment is not None:
            sent["preconditioner"] = 1 / (self.settings.epsilon + np.sqrt(self.second_moment))
        return sent

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of yᵢ, and update the statistics."""
        gradient = mean(replies, lambda reply: reply.arrays["gradient"])
        settings, old = self.settings, self.second_moment
        if settings.base_algorithm != "adagrad":
            self.momentum = _moved(self.momentum, gradient, settings.momentum)
        if settings.base_algorithm == "adam":
            self.second_moment = _moved(old, gradient**2, settings.beta_2)
        elif settings.base_algorithm == "adagrad":
            self.second_moment = gradient**2 if old is None else old + gradient**2
        new: Vector = mean(replies)
        return new


def _moved(moment: Vector | None, value: Vector, beta: float) -> Vector:
    """Return the running mean after a value; it starts at 0."""
    moved: Vector = (1 - beta) * value
    return moved if moment is None else moved + beta * moment
