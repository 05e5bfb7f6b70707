"""FedMD's server: the mean of the clients' class scores on public examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fedlab.algorithm.public import PublicInputs
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    ServerContext,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.registry import strategies


class FedMdSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FedMD."""

    name: str = "fedmd"
    subset: int = Field(5000, ge=1, description="public examples per round; all if there are fewer")
    weighting: Literal["clients"] = Field(
        "clients", description="every client's scores count alike, as in the paper"
    )


@strategies.register("fedmd")
class FedMd(VectorStrategy):
    """FedMD: models of any kind agree on scores of public examples (Li and Wang 2019, arXiv).

    "FedMD: Heterogenous Federated Learning via Model Distillation", Algorithm 1. In round j the
    server draws a subset d_j of the public examples x⁰ and averages the clients' class scores on
    it, f̃(x⁰) = 1/m Σ_k f_k(x⁰) (Aggregate). It is sent to the clients of round j + 1 (Distribute),
    who approach it before they send scores on d_{j+1}. So the first round is transfer learning
    only, and P collaborations take ``rounds = P + 1``.

    No weights travel, so nothing is tested on the server; scores travel as 4 bytes each, up and
    down, with the numbers of the examples. Workers sum the scores: the server sees no client's
    own. The public examples are ``[data.public]``'s, the clients "fedmd".

    Attributes:
        public: The public inputs.
        rows: (S,) the public examples of the last scores, ascending.
        consensus: (S × outputs,) f̃ on them, or None before the first.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedMdSettings
    traits = Traits(takes_mean=True, needs_public=True, client="fedmd")
    settings: FedMdSettings
    public: PublicInputs

    def __init__(self, settings: FedMdSettings) -> None:
        super().__init__(settings)
        self.rows: Vector | None = None
        self.consensus: Vector | None = None

    def begin(self, context: ServerContext) -> None:
        """Store the public inputs."""
        super().begin(context)
        assert context.public is not None
        self.public = context.public

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return the examples to score and, after the first round, the last consensus."""
        agreed: dict[str, Vector] = {}
        if self.rows is not None and self.consensus is not None:
            agreed = {"consensus": self.consensus, "consensus-rows": self.rows}
        count = len(self.public)
        self.rows = np.sort(np.random.permutation(count)[: self.settings.subset])
        return {"public-rows": self.rows, **agreed}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Store the new consensus; the weights, of which none travel, stay."""
        self.consensus = mean(replies, lambda reply: reply.arrays["scores"])
        return weights
