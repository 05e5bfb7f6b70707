"""Equal parts, drawn at random."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.registry import partitioners


@partitioners.register("iid")
class Iid:
    """Every client holds an equal random part of the data."""

    class Settings(PartitionSettings):
        """Keys of the iid partitioner."""

        name: str = "iid"
        clients: int = Field(ge=1, le=10**8, description="number of clients")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return parts whose sizes differ by one example at most."""
        clients = self.settings.clients
        flower_datasets.check_population(examples, clients)
        # flwr-datasets' IidPartitioner does the same, but importing it takes seconds and 100 MB.
        return Partition.of(np.array_split(flower_datasets.shuffled(len(examples), seed), clients))
