"""What predict and evaluate are given, read like the examples of the run's data set.

Each kind of data has a reader: a class in ``fedlab/use/readers``, registered by the name of the
kind. Inputs are read one at a time, so that a folder of any size fits in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fedlab.data.dataset import DataSettings, Task
from fedlab.data.names import class_name
from fedlab.errors import FedlabError, unknown
from fedlab.registry import readers

DATA = "--data"
"""The option that names labelled data, for messages."""


@dataclass(frozen=True)
class Item:
    """One input, or why it cannot be read.

    Attributes:
        source: The file that it is in, or the text that it is.
        row: Its place in that file: the row, from 1, or the rows; None for a whole file.
        stored: As the data set stores inputs, not yet prepared for the network; None where it
            cannot be read.
        fault: A sentence on why it cannot be read, which names the file.
        target: Of labelled data: as the data set stores targets.
    """

    source: str
    row: int | str | None = None
    stored: torch.Tensor | None = None
    fault: str = ""
    target: torch.Tensor | None = None


class Reader(ABC):
    """Reads the inputs of one kind of data.

    Args:
        task: The task that the network was trained for.
        data: The keys of ``[data]`` of its run, or None.
    """

    def __init__(self, task: Task, data: DataSettings | None = None) -> None:
        self.task = task
        self.data = data

    @abstractmethod
    def read(self, arguments: Sequence[str]) -> Iterator[Item]:
        """Yield the inputs that the arguments of ``predict`` name, "-" being standard input.

        Raises:
            FedlabError: If a file is missing or does not fit as a whole. A single input that cannot
                be read is yielded with its fault.
        """

    @abstractmethod
    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield the inputs at ``path`` with their targets.

        Raises:
            FedlabError: If the data have no labels, or name a class that the run does not know.
        """


def reader_of(task: Task, data: DataSettings | None = None) -> Reader:
    """Return the reader of a task's inputs.

    Raises:
        FedlabError: If there is none for this kind of data.
    """
    found: Reader = readers.get(_kind_of(task))(task, data)
    return found


def _kind_of(task: Task) -> str:
    """Return what the task's inputs are read as, which their encoding says, or their modality."""
    if task.encoding is not None and task.encoding.table is not None:
        return "table"
    if task.encoding is not None and task.encoding.sound is not None:
        return "sound"
    return task.modality


def read_inputs(
    task: Task, arguments: Sequence[str], data: DataSettings | None = None
) -> list[Item]:
    """Return all inputs that the arguments name.

    Raises:
        FedlabError: If one cannot be read; the message names it.
    """
    found = list(reader_of(task, data).read(arguments))
    for item in found:
        if item.stored is None:
            raise FedlabError(item.fault)
    return found


def in_batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of ``size`` items and a last one of what is left."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def stacked(items: Sequence[Item]) -> torch.Tensor:
    """Return the stored inputs of items that were read, (N, ...)."""
    return torch.stack([item.stored for item in items if item.stored is not None])


def class_names(task: Task) -> tuple[str, ...]:
    """Return the names of a classification's classes, or their numbers if they have none."""
    return task.labels or tuple(str(number) for number in range(max(task.outputs, 2)))


class Classes:
    """The number of each class that a run knows, by its name."""

    def __init__(self, task: Task) -> None:
        self._numbers = {class_name(name): k for k, name in enumerate(class_names(task))}

    def of(self, label: str, where: str) -> torch.Tensor:
        """Return the number of a class, () int64.

        Args:
            label: Its name, perhaps with spaces around it.
            where: Where that stands, for messages.

        Raises:
            FedlabError: If there is no such class.
        """
        number = self._numbers.get(class_name(label))
        if number is None:
            name = class_name(label)
            problem = unknown("class", name, self._numbers) if name else "there is no class"
            raise FedlabError(f"{DATA}: {where}: {problem}")
        return torch.tensor(number)
