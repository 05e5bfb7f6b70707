"""Label and size skew: a few classes per client, in shares of a given distribution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fedlab import seeding
from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.errors import FedlabError
from fedlab.registry import partitioners

FloatArray = npt.NDArray[np.float64]


@partitioners.register("distribution")
class Distribution:
    """A few classes per client, each class divided by lognormal or given shares.

    Li et al. 2020, "Federated Optimization in Heterogeneous Networks": 1,000 clients, two classes
    each, sizes following a power law. Client k holds classes k, k + 1, ... modulo their number.
    """

    class Settings(PartitionSettings):
        """Keys of the distribution partitioner."""

        name: str = "distribution"
        clients: int = Field(
            ge=1, le=10**8, description="number of clients, a multiple of the classes"
        )
        classes_per_client: int = Field(2, ge=1, description="classes that each client holds")
        sigma: float = Field(
            2.0, ge=0, le=5, description="standard deviation of the logarithm of a class's shares"
        )
        shares: tuple[tuple[float, ...], ...] | None = Field(
            None,
            description="instead of drawing them: one row per class with the weight of each "
            "of the clients that hold the class",
        )
        least_per_class: int = Field(
            5, ge=0, description="least number of examples that a client has of each of its classes"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return a partition of all examples."""
        from flwr_datasets.partitioner import DistributionPartitioner

        settings = self.settings
        labels = flower_datasets.class_numbers(examples, task, settings.name)
        flower_datasets.check_population(examples, settings.clients)
        self._check(np.bincount(labels))
        partitioner = DistributionPartitioner(
            distribution_array=self._weights(int(labels.max()) + 1, seed),
            num_partitions=settings.clients,
            num_unique_labels_per_partition=settings.classes_per_client,
            partition_by=flower_datasets.LABEL,
            preassigned_num_samples_per_label=settings.least_per_class,
            seed=flower_datasets.generator_seed(seed),
        )
        columns = {flower_datasets.LABEL: labels}
        return flower_datasets.partition(partitioner, len(examples), columns, seed, self._explain)

    def _check(self, class_sizes: IntArray) -> None:
        settings, classes = self.settings, len(class_sizes)
        if settings.classes_per_client > classes:
            raise FedlabError(
                f"data.partition.classes_per_client: {settings.classes_per_client} is more than "
                f"the data set's {classes} classes"
            )
        if settings.clients % classes:
            raise FedlabError(
                f"data.partition.clients: 'distribution' takes a multiple of the number of "
                f"classes, {classes}, not {settings.clients}"
            )
        holders = settings.clients * settings.classes_per_client // classes
        if holders * settings.least_per_class > class_sizes.min():
            raise FedlabError(
                f"data.partition.least_per_class: {holders} clients hold each class, and the "
                f"rarest class has {class_sizes.min()} examples: too few for "
                f"{settings.least_per_class} each"
            )

    def _weights(self, classes: int, seed: int) -> FloatArray:
        """Return the weight of each client that holds a class, (classes, holders of a class)."""
        settings = self.settings
        holders = settings.clients * settings.classes_per_client // classes
        if settings.shares is None:
            generator = seeding.numpy_generator(seed, "partition", "shares")
            return generator.lognormal(0.0, settings.sigma, (classes, holders))
        sizes = {len(row) for row in settings.shares}
        if len(settings.shares) != classes or sizes != {holders}:
            raise FedlabError(
                f"data.partition.shares: {classes} rows of {holders} weights are needed, a row "
                "for each class and a weight for each client that holds it"
            )
        weights = np.array(settings.shares, dtype=np.float64)
        if (weights < 0).any() or (weights.sum(axis=1) == 0).any():
            raise FedlabError(
                "data.partition.shares: weights are at least 0, and not all of a row are 0"
            )
        return weights

    def _explain(self, error: ValueError) -> str:
        return f"data.partition.shares: the classes cannot be shared out so ({error})"
