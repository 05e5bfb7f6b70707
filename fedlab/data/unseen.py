"""Clients that never train: which they are, and what they learn from once the model is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedlab import seeding
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import ListedPartition, Partition, clients_called
from fedlab.data.unseen_settings import KEY, UnseenClients
from fedlab.errors import FedlabError


@dataclass(frozen=True)
class ChosenClients(Partition):
    """Some clients of a population of any size, numbered anew.

    Attributes:
        whole: All clients.
        few: (n,) numbers of some of them, ascending.
        rest: Whether these clients are all others, and not those few.
    """

    whole: Partition
    few: IntArray
    rest: bool

    @property
    def is_disjoint(self) -> bool:  # type: ignore[override]
        """Return whether no row is held by two clients."""
        return self.whole.is_disjoint

    def __len__(self) -> int:
        return len(self.whole) - len(self.few) if self.rest else len(self.few)

    def number(self, client: int) -> int:
        """Return a client's number among all."""
        if not self.rest:
            return int(self.few[client])
        # Before the j-th of the few stand few[j] − j others.
        before = np.searchsorted(self.few - np.arange(len(self.few)), client, side="right")
        return client + int(before)

    def rows(self, client: int) -> IntArray:
        """Return the rows that a client holds."""
        return self.whole.rows(self.number(client))

    def size(self, client: int) -> int:
        """Return the number of rows that a client holds."""
        return self.whole.size(self.number(client))

    @property
    def total(self) -> int:
        """Return the number of examples that the clients are expected to hold."""
        return round(self.whole.total * len(self) / len(self.whole))


def split_unseen(
    partition: Partition, chosen: UnseenClients, seed: int
) -> tuple[Partition, Partition | None]:
    """Return the clients that train, and those that never do; None where all train.

    Both are numbered from 0, in the order that they had.

    Raises:
        FedlabError: If a client that is named does not exist, or none would be left to train.
    """
    few = _chosen(partition, chosen, seed)
    if not len(few):
        return partition, None
    population = len(partition)
    if len(few) >= population:
        raise FedlabError(
            f"{KEY}: {len(few)} of {population} clients would never train, which leaves none that "
            f"do; ask for {population - 1} at most"
        )
    if isinstance(partition, ListedPartition):
        others = np.setdiff1d(np.arange(population), few)
        return _listed(partition, others), _listed(partition, few)
    return ChosenClients(partition, few, True), ChosenClients(partition, few, False)


def _chosen(partition: Partition, chosen: UnseenClients, seed: int) -> IntArray:
    """Return the numbers of the unseen clients, ascending."""
    population = len(partition)
    if isinstance(chosen, tuple):
        numbers = {number for one in chosen for number in _numbers(partition, one)}
        return np.array(sorted(numbers), dtype=np.int64)
    count = max(1, round(chosen * population)) if isinstance(chosen, float) else chosen
    if count >= population:
        return np.arange(count, dtype=np.int64)
    draw = seeding.numpy_generator(seed, "unseen clients")
    return np.sort(draw.choice(population, count, replace=False)).astype(np.int64)


def _numbers(partition: Partition, client: int | str) -> list[int]:
    """Return the numbers of the client, or clients, that one entry names.

    Raises:
        FedlabError: If there is none.
    """
    if isinstance(client, str):
        names = partition.names
        if found := clients_called(names, client):
            return found
        known = f"the first is '{names[0]}'" if names else "they have no names"
        raise FedlabError(f"{KEY}: no client is called '{client}' ({known})")
    if client >= len(partition):
        raise FedlabError(
            f"{KEY}: there is no client {client}; the {len(partition)} clients of the partition "
            f"are numbered from 0 to {len(partition) - 1}"
        )
    return [client]


def _listed(partition: ListedPartition, clients: IntArray) -> ListedPartition:
    """Return the partition of some of a partition's clients."""
    names: Sequence[str] = partition.names
    return Partition.of(
        [partition.rows(int(client)) for client in clients],
        [names[client] for client in clients] if names else (),
    )


def support_of(
    examples: Examples, task: Task, shots: int | None, seed: int, client: int
) -> Examples:
    """Return the examples that an unseen client takes its steps on.

    Args:
        examples: Its training part.
        task: What is learned.
        shots: How many examples of each class, or of a task without classes how many in all, drawn
            once for the whole run; None for all of them.
        seed: The scenario's seed.
        client: The client.
    """
    if shots is None:
        return examples
    targets = examples.targets
    draw = seeding.numpy_generator(seed, "shots", client)
    order = torch.from_numpy(draw.permutation(len(targets)))
    groups = [order]
    if task.kind == "classification":
        groups = [order[targets[order] == label] for label in range(task.classes)]
    rows = torch.cat([group[:shots] for group in groups])
    return examples.select(rows.numpy())
