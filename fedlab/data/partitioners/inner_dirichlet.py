"""Label skew with given sizes: each client has its own Dirichlet draw of class shares."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from fedlab import seeding
from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.registry import partitioners


@partitioners.register("inner-dirichlet")
class InnerDirichlet:
    """Each client draws its class shares from its own Dirichlet(alpha), at a given size.

    Acar et al. 2021, "Federated Learning Based on Dynamic Regularization". Unlike 'dirichlet', the
    sizes are chosen: equal, or lognormal with ``spread``.
    """

    class Settings(PartitionSettings):
        """Keys of the inner-dirichlet partitioner."""

        name: str = "inner-dirichlet"
        clients: int = Field(ge=1, le=10**8, description="number of clients")
        alpha: float = Field(0.5, gt=0, description="concentration: small is skewed, large is iid")
        spread: float = Field(
            0.0, ge=0, le=5, description="standard deviation of the logarithm of client sizes"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return a partition of all examples."""
        from flwr_datasets.partitioner import InnerDirichletPartitioner

        labels = flower_datasets.class_numbers(examples, task, self.settings.name)
        flower_datasets.check_population(examples, self.settings.clients)
        partitioner = InnerDirichletPartitioner(
            partition_sizes=self._sizes(len(examples), seed),
            partition_by=flower_datasets.LABEL,
            alpha=self.settings.alpha,
            seed=flower_datasets.generator_seed(seed),
        )
        columns = {flower_datasets.LABEL: labels}
        return flower_datasets.partition(partitioner, len(examples), columns, seed, self._explain)

    def _sizes(self, total: int, seed: int) -> IntArray:
        """Return the clients' sizes, at least 1 each, with sum ``total``."""
        clients = self.settings.clients
        normal = seeding.numpy_generator(seed, "partition", "sizes").standard_normal(clients)
        shares = np.exp(self.settings.spread * normal)
        bounds = np.round(np.cumsum(shares / shares.sum()) * (total - clients)).astype(np.int64)
        return 1 + np.diff(bounds, prepend=0)

    def _explain(self, error: ValueError) -> str:
        return (
            f"data.partition.alpha: {self.settings.alpha:g} is so small that a client's classes "
            "run out before its size is reached; raise alpha"
        )
