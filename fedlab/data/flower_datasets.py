"""Access to flwr-datasets: its partitioners split a table of labels and row numbers.

Rows are shuffled first, because several partitioners cut consecutive pieces.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlab import seeding
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import Partition
from fedlab.errors import FedlabError

if TYPE_CHECKING:
    from flwr_datasets.partitioner import Partitioner as FlowerPartitioner

LABEL = "label"


def generator_seed(seed: int) -> int:
    """Return the seed for a partitioner of flwr-datasets."""
    return seeding.derive(seed, "partition")


def check_population(examples: Examples, clients: int, least: int = 1, key: str = "") -> None:
    """Check that there are ``least`` examples for each client.

    Raises:
        FedlabError: If there are fewer, naming ``data.partition.<key>``, by default ``clients``.
    """
    if clients * least <= len(examples):
        return
    each = "one example" if least == 1 else f"{least} examples"
    raise FedlabError(
        f"data.partition.{key or 'clients'}: {clients} clients with at least {each} each need "
        f"{clients * least} training examples, and the data set has {len(examples)}"
    )


def class_numbers(examples: Examples, task: Task, name: str) -> IntArray:
    """Return each example's class, numbered from 0 without gaps, (N,).

    Raises:
        FedlabError: If the task has no classes.
    """
    check_has_classes(task, name)
    return np.unique(examples.targets.numpy(), return_inverse=True)[1].astype(np.int64)


def check_has_classes(task: Task, name: str) -> None:
    """Check that the task has classes.

    Raises:
        FedlabError: If it has none, naming the partitioner, ``name``.
    """
    if task.kind != "classification":
        raise FedlabError(
            f"data.partition.name: '{name}' splits by class, and this data set's task is "
            f"{task.kind}; 'iid', 'linear', 'square' and 'exponential' need no classes, 'natural' "
            "takes the data's own groups"
        )


def shuffled(count: int, seed: int) -> IntArray:
    """Return a random order of ``count`` rows, (count,)."""
    return seeding.numpy_generator(seed, "partition", "order").permutation(count)


def partition(
    partitioner: FlowerPartitioner,
    count: int,
    columns: Mapping[str, np.ndarray[Any, Any]],
    seed: int,
    explain: Callable[[ValueError], str],
) -> Partition:
    """Return the partition whose clients hold the rows that :func:`split` returns."""
    return Partition.of(split(partitioner, count, columns, seed, explain))


def split(
    partitioner: FlowerPartitioner,
    count: int,
    columns: Mapping[str, np.ndarray[Any, Any]],
    seed: int,
    explain: Callable[[ValueError], str],
) -> list[IntArray]:
    """Return the rows of each client, as ``partitioner`` assigns them.

    Args:
        partitioner: A partitioner of flwr-datasets.
        count: Number of examples.
        columns: The columns that it splits by: (count,) values by name.
        seed: The scenario's seed, which determines the order of rows.
        explain: Converts the library's error to the message for the user.

    Raises:
        FedlabError: With the message of ``explain``, if the library cannot split the table.
    """
    from datasets import Dataset

    order = shuffled(count, seed)
    table = {"row": order, **{name: values[order] for name, values in columns.items()}}
    partitioner.dataset = Dataset.from_dict(table)
    # The library warns of its retries and draws a progress bar; its errors suffice.
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return [_rows(partitioner, client) for client in range(partitioner.num_partitions)]
        except ValueError as error:
            raise FedlabError(explain(error)) from error


def _rows(partitioner: FlowerPartitioner, client: int) -> IntArray:
    # A column is read at once by a slice, and value by value without one.
    return np.asarray(partitioner.load_partition(client)["row"][:], dtype=np.int64)
