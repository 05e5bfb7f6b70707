"""A partition: which rows of the training examples each client holds, and how uneven that is.

A partition is listed (every client's rows are in memory), or it works them out when asked; then a
population of millions costs nothing until its clients are looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.errors import FedlabError, unknown
from fedlab.settings import Settings


class PartitionSettings(Settings):
    """Keys of ``[data.partition]`` that every partitioner has; its own settings extend this."""

    name: str = Field(description="a partitioner")
    clients: int | None = Field(None, ge=1, le=10**8, description="number of clients")


class Partition(ABC):
    """Row numbers of the training examples, by client.

    Attributes:
        names: Names of the clients, or nothing where they have none.
        is_disjoint: Whether no row is held by two clients.
    """

    names: tuple[str, ...] = ()
    is_disjoint: bool = True

    @staticmethod
    def of(parts: Sequence[npt.ArrayLike], names: Sequence[str] = ()) -> ListedPartition:
        """Return the partition whose clients hold ``parts``: row numbers, one array a client.

        Raises:
            FedlabError: If a client would hold nothing.
        """
        arrays = [np.asarray(part, dtype=np.int64) for part in parts]
        sizes = np.array([len(array) for array in arrays], dtype=np.int64)
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            raise FedlabError(
                f"data.partition: {len(empty)} of {len(arrays)} clients would hold no example, the "
                f"first of them client {empty[0]}; ask for fewer clients or a less skewed split"
            )
        index = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return ListedPartition(index, offsets, tuple(names))

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of clients."""

    @abstractmethod
    def rows(self, client: int) -> IntArray:
        """Return the row numbers that a client holds."""

    @abstractmethod
    def size(self, client: int) -> int:
        """Return the number of rows that a client holds."""

    def own_test_rows(self, client: int) -> IntArray | None:
        """Return the rows that a client has set apart for testing itself, which it does not hold.

        None where the federation draws what it is tested on from those that it holds.
        """
        return None

    def own_test_size(self, client: int) -> int:
        """Return how many rows a client has set apart for testing itself."""
        return 0

    @property
    def present_client(self) -> int:
        """Return a client whose rows are here, where those of any are."""
        return 0

    @property
    def has_rows(self) -> bool:
        """Return whether the rows are here; elsewhere their numbers alone are known."""
        return True

    @property
    @abstractmethod
    def total(self) -> int:
        """Return the number of examples on all clients, or what is expected of it."""

    @property
    def sizes(self) -> IntArray:
        """Return the number of examples of each client, (clients,)."""
        return np.array([self.size(client) for client in range(len(self))], dtype=np.int64)


@dataclass(frozen=True)
class ListedPartition(Partition):
    """Sets of row numbers, one a client, in one array.

    Attributes:
        index: (M,) row numbers of all clients, client after client.
        offsets: (clients + 1,) where each client's rows begin in ``index``.
        names: Names of the clients, or nothing where they have none.
    """

    index: IntArray
    offsets: IntArray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, client: int) -> IntArray:
        """Return the row numbers that a client holds (a view)."""
        return self.index[self.offsets[client] : self.offsets[client + 1]]

    def size(self, client: int) -> int:
        """Return the number of rows that a client holds."""
        return int(self.offsets[client + 1] - self.offsets[client])

    @property
    def total(self) -> int:
        """Return the number of examples on all clients."""
        return len(self.index)

    @property
    def sizes(self) -> IntArray:
        """Return the number of examples of each client, (clients,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class SitePartition(Partition):
    """Clients that have data of their own: all of them here, one, or none.

    Of a client whose rows are here, those that it has set apart itself stand after the others.

    Attributes:
        held: How many rows each client holds; 0 where that is not known here.
        tested: How many each has set apart itself.
        present: The clients whose rows are here, in the order in which they stand.
        names: Names of the clients, or nothing where they are not known.
        class_counts: How many examples of each class each client holds, where they say so.
    """

    held: tuple[int, ...]
    tested: tuple[int, ...]
    present: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    class_counts: tuple[tuple[int, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.held)

    def rows(self, client: int) -> IntArray:
        """Return the row numbers that a client holds.

        Raises:
            FedlabError: If they are not here.
        """
        start = self._start(client)
        return np.arange(start, start + self.held[client], dtype=np.int64)

    def own_test_rows(self, client: int) -> IntArray | None:
        """Return the rows that a client has set apart itself; None where there are none."""
        if not self.tested[client]:
            return None
        start = self._start(client) + self.held[client]
        return np.arange(start, start + self.tested[client], dtype=np.int64)

    def own_test_size(self, client: int) -> int:
        """Return how many rows a client has set apart for testing itself."""
        return self.tested[client]

    def size(self, client: int) -> int:
        """Return the number of rows that a client holds."""
        return self.held[client]

    @property
    def present_client(self) -> int:
        """Return a client whose rows are here, where those of any are."""
        return self.present[0] if self.present else 0

    @property
    def has_rows(self) -> bool:
        """Return whether the rows of all clients are here."""
        return len(self.present) == len(self.held)

    @property
    def total(self) -> int:
        """Return the number of examples on all clients."""
        return sum(self.held)

    def _start(self, client: int) -> int:
        if client not in self.present:
            raise FedlabError(f"the examples of client {client} are at its site, and stay there")
        before = self.present[: self.present.index(client)]
        return sum(self.held[other] + self.tested[other] for other in before)


class Partitioner(Protocol):
    """A way to split examples over clients: a class in ``fedlab/data/partitioners``, by name."""

    Settings: ClassVar[type[PartitionSettings]]

    def __init__(self, settings: Any) -> None: ...

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return the partition; the same arguments give the same one, bit for bit.

        Raises:
            FedlabError: If the examples cannot be split so.
        """
        ...


def clients_called(names: Sequence[str], wanted: str) -> list[int]:
    """Return the numbers of the clients of a name or, where none has it, of a pattern ("Greek *").

    Args:
        names: Of all clients, by number.
        wanted: The name or pattern; none may be called so.
    """
    if wanted in names:
        return [names.index(wanted)]
    return [number for number, name in enumerate(names) if fnmatchcase(name, wanted)]


def clients_named(partition: Partition, named: Sequence[int | str], where: str) -> list[int]:
    """Return the numbers of clients that are named or numbered, ascending.

    Args:
        partition: Knows their names.
        named: Names, patterns of names, or numbers.
        where: The key that holds them, for messages.

    Raises:
        FedlabError: If one is not there.
    """
    found = set()
    for one in named:
        if isinstance(one, int):
            if not 0 <= one < len(partition):
                raise FedlabError(
                    f"{where}: there is no client {one}; they are numbered from 0 to "
                    f"{len(partition) - 1}"
                )
            found.add(one)
        elif called := clients_called(partition.names, one):
            found.update(called)
        elif partition.names:
            raise FedlabError(f"{where}: {unknown('client', one, partition.names)}")
        else:
            raise FedlabError(
                f"{where}: '{one}' is a name, and these clients have none; give their numbers, "
                f"from 0 to {len(partition) - 1}"
            )
    return sorted(found)


def split_validation(
    rows: IntArray, fraction: float, seed: int, client: int, purpose: str = "validation"
) -> tuple[IntArray, IntArray]:
    """Return a client's training rows and validation rows, each in the order of ``rows``.

    A part for another ``purpose`` is cut off in the same way, by another draw.
    """
    count = part_size(len(rows), fraction)
    if count <= 0:
        return rows, rows[:0]
    generator = seeding.numpy_generator(seed, purpose, client)
    validation = np.zeros(len(rows), dtype=bool)
    validation[generator.choice(len(rows), count, replace=False)] = True
    return rows[~validation], rows[validation]


def part_size(size: int, fraction: float) -> int:
    """Return how many of ``size`` rows a part has: ``fraction`` of them, rounded.

    At least one row is left for training.
    """
    return max(0, min(round(size * fraction), size - 1))
