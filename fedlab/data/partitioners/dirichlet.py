"""Label skew: each class is divided among clients by a Dirichlet draw."""

from __future__ import annotations

from pydantic import Field

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.registry import partitioners


@partitioners.register("dirichlet")
class Dirichlet:
    """Each class is divided among the clients in shares drawn from Dirichlet(alpha).

    Yurochkin et al. 2019, "Bayesian Nonparametric Federated Learning of Neural Networks". Small
    ``alpha`` gives few classes and uneven sizes; large ``alpha`` approaches iid.
    """

    class Settings(PartitionSettings):
        """Keys of the dirichlet partitioner."""

        name: str = "dirichlet"
        clients: int = Field(ge=1, le=10**8, description="number of clients")
        alpha: float = Field(0.5, gt=0, description="concentration: small is skewed, large is iid")
        min_size: int = Field(
            10, ge=1, description="draw again until every client holds at least this many examples"
        )
        balanced: bool = Field(
            False, description="assign no more examples to a client that has reached the mean size"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return a partition that satisfies ``min_size``, drawn at most eleven times."""
        from flwr_datasets.partitioner import DirichletPartitioner

        settings = self.settings
        labels = flower_datasets.class_numbers(examples, task, settings.name)
        flower_datasets.check_population(examples, settings.clients)
        flower_datasets.check_population(examples, settings.clients, settings.min_size, "min_size")
        partitioner = DirichletPartitioner(
            num_partitions=settings.clients,
            partition_by=flower_datasets.LABEL,
            alpha=settings.alpha,
            min_partition_size=settings.min_size,
            self_balancing=settings.balanced,
            seed=flower_datasets.generator_seed(seed),
        )
        columns = {flower_datasets.LABEL: labels}
        return flower_datasets.partition(partitioner, len(examples), columns, seed, self._explain)

    def _explain(self, error: ValueError) -> str:
        return (
            f"data.partition.min_size: with alpha = {self.settings.alpha:g} no draw in eleven gave "
            f"each of {self.settings.clients} clients {self.settings.min_size} examples; raise "
            "alpha, lower min_size or take fewer clients"
        )
