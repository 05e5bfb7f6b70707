"""SemiFL's server: it alone has labels, and trains by them after each round of the clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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


class SemiFlSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for SemiFL."""

    name: str = "semifl"
    root_examples: int = Field(
        100,
        ge=1,
        description="training examples that the server holds, with labels: drawn before the data "
        "is split, so that no client has them and they are not tested on",
    )


@strategies.register("semifl")
class SemiFl(VectorStrategy):
    """SemiFL: the server trains the mean of clients by its labels (Diao et al. 2022, NeurIPS).

    "SemiFL: Semi-Supervised Federated Learning for Unlabeled Clients with Alternate Training",
    Algorithm 1: clients give their examples classes by the model that they receive and learn from
    those, the server takes the mean of what they reach and trains it on its own labelled examples,
    for as many epochs or steps as a client: one after the other, and not side by side, is what the
    paper calls alternate training. Running statistics of batch norm are those of the server's
    training; the paper estimates them anew over all clients ("static batch norm").
    """

    Settings: ClassVar[type[VectorStrategySettings]] = SemiFlSettings
    traits = Traits(client="semifl", needs_root=True, statistics="own")

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of the replies, trained on the server's examples."""
        return self.train_on_root(server_round, mean(replies))
