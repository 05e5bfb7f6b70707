"""The data's own groups: each writer, role, subject or site is a client."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from fedlab import seeding
from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError
from fedlab.registry import partitioners

_GROUP = "group"


@partitioners.register("natural")
class Natural:
    """Every natural group of the data (writer, role, subject, site) is a client."""

    class Settings(PartitionSettings):
        """Keys of the natural partitioner."""

        name: str = "natural"
        clients: int | None = Field(
            None, ge=1, description="number of groups to draw at random; default: all"
        )
        min_examples: int = Field(1, ge=1, description="leave out groups with fewer examples")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return a client for each group that is kept, in the order of their numbers."""
        from flwr_datasets.partitioner import NaturalIdPartitioner

        if isinstance(examples, GeneratedExamples):
            return examples.partition(self.settings.clients)
        if examples.groups is None:
            raise FedlabError(
                "data.partition.name: 'natural' takes the data's own groups, and this data set has "
                "none; 'iid' or 'dirichlet' split any classes"
            )
        kept = self._kept(examples.groups, seed)
        rows = np.flatnonzero(np.isin(examples.groups, kept))
        columns = {_GROUP: examples.groups[rows]}
        partitioner = NaturalIdPartitioner(partition_by=_GROUP)
        parts = flower_datasets.split(partitioner, len(rows), columns, seed, str)
        names = examples.group_names
        return Partition.of(
            [np.sort(rows[part]) for part in parts],
            [names[group] for group in kept] if names else (),
        )

    def _kept(self, groups: IntArray, seed: int) -> IntArray:
        """Return the numbers of the groups that become clients, ascending."""
        settings = self.settings
        numbers, counts = np.unique(groups, return_counts=True)
        numbers = numbers[counts >= settings.min_examples]
        if len(numbers) == 0:
            raise FedlabError(
                f"data.partition.min_examples: no group has {settings.min_examples} training "
                f"examples; the largest has {counts.max()}"
            )
        if settings.clients is None:
            return numbers
        if settings.clients > len(numbers):
            raise FedlabError(
                f"data.partition.clients: {settings.clients} is more than the {len(numbers)} "
                f"groups with at least {settings.min_examples} training examples"
            )
        generator = seeding.numpy_generator(seed, "partition", "groups")
        return np.sort(generator.choice(numbers, settings.clients, replace=False))
