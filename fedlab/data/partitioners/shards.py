"""Label skew: the data is sorted by class and cut into shards, a few per client."""

from __future__ import annotations

from pydantic import Field

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.registry import partitioners


@partitioners.register("shards")
class Shards:
    """Data sorted by class and cut into equal shards, ``shards_per_client`` for each client.

    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized
    Data". Examples that do not fill a shard are left out.
    """

    class Settings(PartitionSettings):
        """Keys of the shards partitioner."""

        name: str = "shards"
        clients: int = Field(ge=1, le=10**8, description="number of clients")
        shards_per_client: int = Field(2, ge=1, description="shards of each client")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return parts of equal size."""
        from flwr_datasets.partitioner import ShardPartitioner

        settings = self.settings
        labels = flower_datasets.class_numbers(examples, task, settings.name)
        flower_datasets.check_population(examples, settings.clients)
        flower_datasets.check_population(
            examples, settings.clients, settings.shards_per_client, "shards_per_client"
        )
        partitioner = ShardPartitioner(
            num_partitions=settings.clients,
            partition_by=flower_datasets.LABEL,
            num_shards_per_partition=settings.shards_per_client,
            seed=flower_datasets.generator_seed(seed),
        )
        columns = {flower_datasets.LABEL: labels}
        return flower_datasets.partition(partitioner, len(examples), columns, seed, self._explain)

    def _explain(self, error: ValueError) -> str:
        return (
            f"data.partition.shards_per_client: {self.settings.clients} clients cannot hold "
            f"{self.settings.shards_per_client} shards each; take fewer of either"
        )
