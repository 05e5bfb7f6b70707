"""The base of strategies that keep several global models, one for each cluster of clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy, mean


class ClusteredStrategy(VectorStrategy):
    """Keeps a model for each cluster, and which cluster each client was last seen in.

    What the server tests, and a run leaves as its model, is the model of the largest cluster: a
    mean over clusters would be no cluster's. Federated evaluation gives each client its own
    cluster's. All models are in the checkpoints, as the strategy's state.

    Attributes:
        models: (wire_size,) each cluster's weights and running statistics; empty before there are
            clusters.
        members: Each client's cluster, by node.
    """

    traits = Traits(several_models=True, statistics="own")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.models: list[Vector] = []
        self.members: dict[str, int] = {}

    @property
    def parameters(self) -> slice:
        """Return where parameters stand in whole vectors; running statistics follow them."""
        return slice(0, self.layout.wire_parameters)

    @property
    def sizes(self) -> list[int]:
        """Return how many clients were last seen in each cluster."""
        count = Counter(self.members.values())
        return [count[cluster] for cluster in range(len(self.models))]

    @property
    def largest(self) -> int:
        """Return the cluster with the most clients, the first one of several."""
        return int(np.argmax(self.sizes))

    def average(self, replies: Sequence[Reply], clusters: Mapping[int, int]) -> None:
        """Set each cluster's model to the mean of its clients' weights.

        A cluster that no reply belongs to keeps its model.

        Args:
            replies: The clients' replies.
            clusters: Each client's cluster, by node.
        """
        for cluster in range(len(self.models)):
            own = [reply for reply in replies if clusters[reply.client] == cluster]
            if own:
                self.models[cluster] = np.asarray(mean(own), np.float32)
        self.members |= {str(reply.client): clusters[reply.client] for reply in replies}

    def record(self) -> dict[str, Any]:
        """Return the sizes of the clusters, once there are any."""
        return {"cluster_sizes": self.sizes} if self.models else {}
