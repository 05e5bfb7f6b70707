"""Label skew: a fixed number of classes per client."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.errors import FedlabError
from fedlab.registry import partitioners


@partitioners.register("pathological")
class Pathological:
    """Every client holds exactly ``classes_per_client`` classes.

    Li et al. 2022, "Federated Learning on Non-IID Data Silos". A class is divided
    equally among the clients that hold it.
    """

    class Settings(PartitionSettings):
        """Keys of the pathological partitioner."""

        name: str = "pathological"
        clients: int = Field(ge=1, le=10**8, description="number of clients")
        classes_per_client: int = Field(2, ge=1, description="classes that each client holds")
        assignment: Literal["random", "first-deterministic", "deterministic"] = Field(
            "first-deterministic",
            description="'random': all classes drawn; 'first-deterministic': client k always has "
            "class k; 'deterministic': client k has classes k, k + 1, ...",
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return the partition; a class that no client holds is left out."""
        from flwr_datasets.partitioner import PathologicalPartitioner

        settings = self.settings
        labels = flower_datasets.class_numbers(examples, task, settings.name)
        flower_datasets.check_population(examples, settings.clients)
        classes = int(labels.max()) + 1
        if settings.classes_per_client > classes:
            raise FedlabError(
                f"data.partition.classes_per_client: {settings.classes_per_client} is more than "
                f"the data set's {classes} classes"
            )
        partitioner = PathologicalPartitioner(
            num_partitions=settings.clients,
            partition_by=flower_datasets.LABEL,
            num_classes_per_partition=settings.classes_per_client,
            class_assignment_mode=settings.assignment,
            seed=flower_datasets.generator_seed(seed),
        )
        columns = {flower_datasets.LABEL: labels}
        return flower_datasets.partition(partitioner, len(examples), columns, seed, self._explain)

    def _explain(self, error: ValueError) -> str:
        return (
            f"data.partition.clients: {self.settings.clients} clients with "
            f"{self.settings.classes_per_client} classes each share some class among more clients "
            "than it has examples; take fewer clients, or assignment = 'deterministic'"
        )
