"""IFCA: clients choose among several global models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from pydantic import Field

from fedlab.algorithm.clustered import ClusteredStrategy
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategySettings, record_of
from fedlab.registry import strategies


class IfcaSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for IFCA."""

    name: str = "ifca"
    clusters: int = Field(2, ge=1, le=64, description="k, the number of models")
    spread: float = Field(
        0.5,
        gt=0,
        description="spread of the initial models: noise over each tensor's standard deviation",
    )


@strategies.register("ifca")
class Ifca(ClusteredStrategy):
    """IFCA: k models, each client trains the one that fits it best (Ghosh et al. 2020, NeurIPS).

    "An Efficient Framework for Clustered Federated Learning", Algorithm 1, option II (model
    averaging). All k models θⱼ are broadcast; client i trains the model of its cluster

        ĵ = argmin_j Fᵢ(θⱼ)      and        θⱼ ← Σ_{i: ĵᵢ = j} nᵢ θ̃ᵢ / Σ_{i: ĵᵢ = j} nᵢ

    where θ̃ᵢ is what client i reached from θ_ĵ. (The paper's clients all hold n examples, so its nᵢ
    drop out; ``weighting = "clients"`` leaves them out.) A model without clients stays as it is.
    The k initial models are the scenario's, all but the first with normal noise of ``spread`` times
    each tensor's standard deviation.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = IfcaSettings
    traits = Traits(client="ifca", several_models=True, statistics="own")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the cohort's messages, which contain all models."""
        if not self.models:
            self.models = self._first_models(next(iter(arrays.values())).numpy())
        first = record_of(self.models[0])
        return super().configure_train(server_round, first, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return messages with all models: each client is evaluated with its choice."""
        first = record_of(self.models[0])
        messages = list(super().configure_evaluate(server_round, first, config, grid))
        for name, vector in self.broadcast(server_round, self.models[0]).items():
            if messages:
                messages[0].content[name] = record_of(vector)
        return messages

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return all models but the first, which travels as the weights."""
        return {f"cluster-{j}": model for j, model in enumerate(self.models) if j}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the largest cluster's model."""
        self.average(replies, {reply.client: int(reply.metrics["cluster"]) for reply in replies})
        return self.models[self.largest]

    def _first_models(self, weights: Vector) -> list[Vector]:
        models = [weights.copy() for _ in range(self.settings.clusters)]
        offset = self.layout.wire.start
        for model in models[1:]:
            for entry in self.layout.entries:
                place = entry.place(offset)
                if 0 <= place.start < self.parameters.stop:
                    noise = np.random.normal(size=place.stop - place.start)
                    model[place] += self.settings.spread * weights[place].std() * noise
        return models
