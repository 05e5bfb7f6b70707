"""Skew in a continuous property: clients differ in a number, such as the target or brightness."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.data.scaling import is_constant
from fedlab.errors import FedlabError
from fedlab.registry import partitioners

_PROPERTY = "property"


@partitioners.register("continuous")
class Continuous:
    """Equal parts sorted by a number (target, mean of the input, a feature), blurred by noise.

    An example with standardised property z is ordered by σ z + (1 − σ) ε, ε ~ N(0, 1), where σ is
    ``strictness``: 0 is iid, 1 sorts.
    """

    class Settings(PartitionSettings):
        """Keys of the continuous partitioner."""

        name: str = "continuous"
        clients: int = Field(ge=1, le=10**8, description="number of clients")
        by: Literal["target", "mean"] | int = Field(
            "target",
            description="'target': the first regression target; 'mean': the mean of an input's "
            "values (a picture's brightness); a number: that feature of tabular data, from 0",
        )
        strictness: float = Field(0.8, ge=0, le=1, description="0 splits at random, 1 sorts")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return parts whose sizes differ by one example at most."""
        from flwr_datasets.partitioner import ContinuousPartitioner

        settings = self.settings
        flower_datasets.check_population(examples, settings.clients)
        values = self._property(examples, task)
        if is_constant(torch.tensor(values.var()), torch.tensor(values.mean()), len(values)):
            raise FedlabError(
                f"data.partition.by: '{settings.by}' is the same number for every example; choose "
                "another property, or name = 'iid'"
            )
        partitioner = ContinuousPartitioner(
            num_partitions=settings.clients,
            partition_by=_PROPERTY,
            strictness=settings.strictness,
            seed=flower_datasets.generator_seed(seed),
        )
        columns = {_PROPERTY: values}
        return flower_datasets.partition(partitioner, len(examples), columns, seed, self._explain)

    def _property(self, examples: Examples, task: Task) -> npt.NDArray[np.float64]:
        """Return the property of each example, (N,)."""
        by = self.settings.by
        if by == "target":
            if task.kind != "regression":
                raise FedlabError(
                    f"data.partition.by: 'target' needs numbers for targets, and this data set's "
                    f"task is {task.kind}; 'mean' or a feature's number fits it"
                )
            return examples.targets.flatten(1)[:, 0].double().numpy()
        if task.modality == "text":
            raise FedlabError(
                f"data.partition.by: '{by}' needs numbers for inputs, and this data set's are text"
            )
        if by == "mean":
            # In blocks, so that a large set of uint8 pictures is never float64 all at once.
            blocks = examples.blocks(4096)
            return np.concatenate([block.flatten(1).double().mean(1).numpy() for block in blocks])
        if task.modality != "tabular" or not 0 <= by < task.input_shape[0]:
            raise FedlabError(
                f"data.partition.by: there is no feature {by}; a number stands for a feature of "
                "tabular data, from 0"
            )
        return examples.inputs[:, by].double().numpy()

    def _explain(self, error: ValueError) -> str:
        return f"data.partition.by: the examples cannot be sorted by '{self.settings.by}' ({error})"
