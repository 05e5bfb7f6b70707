"""Label skew as specified: the scenario lists the classes of each client."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.errors import FedlabError, unknown
from fedlab.registry import partitioners


@partitioners.register("listed-classes")
class ListedClasses:
    """Client k holds the classes listed for it; its holders share a class equally.

    This reproduces the split of a published experiment, however it was drawn: classes and sizes
    are the same, and the seed determines only which examples of a class a client holds. A class
    that no client lists is left out.
    """

    class Settings(PartitionSettings):
        """Keys of the listed-classes partitioner."""

        name: str = "listed-classes"
        classes: tuple[tuple[int | str, ...], ...] = Field(
            min_length=1,
            description="for each client its classes, as numbers from 0 or as names: "
            "[[0, 7], [1, 6], ...]",
        )

        @model_validator(mode="after")
        def _one_list_a_client(self) -> ListedClasses.Settings:
            for client, listed in enumerate(self.classes):
                if not listed or len(set(listed)) < len(listed):
                    raise ValueError(
                        f"classes: client {client} must list at least one class, and none twice"
                    )
            if self.clients not in (None, len(self.classes)):
                raise ValueError(
                    f"clients is {self.clients}, and the number of lists in classes, one a client, "
                    f"is {len(self.classes)}"
                )
            return self

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return the listed partition."""
        flower_datasets.check_has_classes(task, self.settings.name)
        held = [
            {_number(entry, client, task) for entry in listed}
            for client, listed in enumerate(self.settings.classes)
        ]
        order = flower_datasets.shuffled(len(examples), seed)
        targets = examples.targets.numpy()[order]
        dealt: list[list[IntArray]] = [[] for _ in held]
        for number in sorted(set().union(*held)):
            _deal(order[targets == number], number, held, dealt)
        return Partition.of([np.concatenate(parts) for parts in dealt])


def _deal(rows: IntArray, number: int, held: list[set[int]], dealt: list[list[IntArray]]) -> None:
    """Divide the rows of one class equally among the clients that hold it."""
    holders = [client for client, numbers in enumerate(held) if number in numbers]
    if len(rows) < len(holders):
        raise FedlabError(
            f"data.partition.classes: {len(holders)} clients list class {number}, which has "
            f"{len(rows)} training examples"
        )
    for client, part in zip(holders, np.array_split(rows, len(holders)), strict=True):
        dealt[client].append(part)


def _number(entry: int | str, client: int, task: Task) -> int:
    """Return the number of a class that is listed by number or name."""
    where = f"data.partition.classes: client {client}"
    if isinstance(entry, str):
        if entry not in task.labels:
            raise FedlabError(f"{where}: {unknown('class', entry, task.labels)}")
        return task.labels.index(entry)
    if not 0 <= entry < task.classes:
        raise FedlabError(f"{where}: class {entry} is not one of 0 to {task.classes - 1}")
    return entry
