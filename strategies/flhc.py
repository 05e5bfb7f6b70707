"""FL+HC: clients are clustered once by their updates, then each cluster trains separately."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType
from flwr.serverapp import Grid
from pydantic import Field, model_validator

from fedlab.algorithm.clustered import ClusteredStrategy
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategySettings, mean, record_of
from fedlab.registry import strategies
from fedlab.wire.protocol import WEIGHTING


class FlHcSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FL+HC."""

    name: str = "fl+hc"
    warm_up: int = Field(5, ge=0, description="n, rounds of FedAvg before clients are clustered")
    clusters: int | None = Field(None, ge=1, description="the number of clusters")
    threshold: float | None = Field(
        None, gt=0, description="T, instead of clusters: the distance from which none are merged"
    )
    distance: Literal["euclidean", "manhattan", "cosine"] = Field(
        "euclidean", description="between two updates"
    )
    linkage: Literal["ward", "average", "complete", "single"] = Field(
        "ward", description="the distance of two clusters; 'ward' requires 'euclidean'"
    )

    @model_validator(mode="after")
    def _is_decided(self) -> Self:
        if (self.clusters is None) == (self.threshold is None):
            raise ValueError("set either clusters or threshold")
        if self.linkage == "ward" and self.distance != "euclidean":
            raise ValueError(
                f"linkage = 'ward' goes with distance = 'euclidean', not '{self.distance}'; "
                "'average' and 'complete' go with any"
            )
        return self


@strategies.register("fl+hc")
class FlHc(ClusteredStrategy):
    """FL+HC: clients clustered once by their updates' similarity (Briggs et al. 2020, IJCNN).

    "Federated learning with hierarchical clustering of local updates to improve training on
    non-IID data", Algorithm 1: after n rounds of FedAvg all clients train from wⁿ; their updates
    Δwᵢ = wᵢ − wⁿ are clustered agglomeratively (scikit-learn's), merging the nearest clusters until
    there are ``clusters``, or none nearer than T; then every cluster runs FedAvg separately, over
    ``fraction_train`` of its clients, at least one. The clustered updates are each cluster's first
    ones.

    Distances are taken over parameters, without running statistics. A client without a reply in the
    round of clustering joins the largest cluster.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FlHcSettings

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return messages to a cohort, to all clients, and then to a cohort of every cluster."""
        if server_round <= self.settings.warm_up:
            return super().configure_train(server_round, arrays, config, grid)
        config[WEIGHTING] = self.settings.weighting
        self._sent = next(iter(arrays.values())).numpy()
        nodes = list(grid.get_node_ids())
        if not self.models:
            return self._messages(server_round, arrays, config, nodes, MessageType.TRAIN)
        return self._to_clusters(server_round, config, self._cohorts(nodes), MessageType.TRAIN)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return messages that carry the model of each client's cluster."""
        messages = list(super().configure_evaluate(server_round, arrays, config, grid))
        if not self.models:
            return messages
        nodes = [message.metadata.dst_node_id for message in messages]
        return self._to_clusters(server_round, config, nodes, MessageType.EVALUATE)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean, or from the round of clustering on the largest cluster's model."""
        if server_round <= self.settings.warm_up:
            return np.asarray(mean(replies))
        if not self.models:
            labels = self._labels(weights, replies)
            self.models = [np.array(weights) for _ in range(max(labels) + 1)]
            self.members = {str(r.client): j for r, j in zip(replies, labels, strict=True)}
        self.average(replies, {reply.client: self._cluster(reply.client) for reply in replies})
        return self.models[self.largest]

    def _cluster(self, node: int) -> int:
        return self.members.get(str(node), self.largest)

    def _cohorts(self, nodes: Sequence[int]) -> list[int]:
        """Return a sample of every cluster's clients."""
        drawn: list[int] = []
        for cluster in range(len(self.models)):
            own = [node for node in nodes if self._cluster(node) == cluster]
            size = max(int(len(own) * self.settings.fraction_train), 1)
            drawn += random.sample(own, size)
        return drawn

    def _to_clusters(
        self, server_round: int, config: ConfigRecord, nodes: Sequence[int], kind: str
    ) -> list[Message]:
        """Return one message per node with its cluster's model."""
        messages: list[Message] = []
        for cluster, model in enumerate(self.models):
            own = [node for node in nodes if self._cluster(node) == cluster]
            messages += self._messages(server_round, record_of(model), config, own, kind)
        return messages

    def _labels(self, weights: Vector, replies: Sequence[Reply]) -> list[int]:
        """Return each reply's cluster; clusters are numbered by their first client."""
        from sklearn.cluster import AgglomerativeClustering

        if len(replies) == 1:
            return [0]
        settings, part = self.settings, self.parameters
        wanted = settings.clusters and min(settings.clusters, len(replies))
        found = AgglomerativeClustering(
            n_clusters=wanted,
            distance_threshold=settings.threshold,
            metric=settings.distance,
            linkage=settings.linkage,
        ).fit_predict(np.stack([reply.weights[part] - weights[part] for reply in replies]))
        numbers = {label: number for number, label in enumerate(dict.fromkeys(found.tolist()))}
        return [numbers[label] for label in found.tolist()]
