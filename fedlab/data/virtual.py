"""What is made when a client is asked for: sizes and examples of clients that nobody stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from fedlab import seeding
from fedlab.data.dataset import Examples, IntArray
from fedlab.data.partition import Partition
from fedlab.errors import FedlabError

LARGEST = 20
"""No client is larger than this many times the mean."""


@dataclass(frozen=True)
class VirtualSizes:
    """Log-normal numbers of examples, each drawn from (seed, client) alone.

    Attributes:
        mean: The mean, but for rounding and for the largest, which are cut off.
        sigma: Standard deviation of the logarithm; 0 where all are equal.
        seed: The scenario's seed.
    """

    mean: int
    sigma: float
    seed: int

    def of(self, client: int) -> int:
        """Return the number of examples of a client, between 1 and ``largest``."""
        if not self.sigma:
            return self.mean
        normal = seeding.numpy_generator(self.seed, "virtual size", client).standard_normal()
        # exp(σ²/2) is the mean of a log-normal variable whose logarithm has mean 0.
        factor = float(np.exp(self.sigma * normal - self.sigma**2 / 2))
        return min(self.largest, max(1, round(self.mean * factor)))

    @property
    def largest(self) -> int:
        """Return the most examples that a client can have."""
        return self.mean * LARGEST if self.sigma else self.mean


class Population(Protocol):
    """Clients whose examples are made from (seed, client) alone."""

    sizes: VirtualSizes

    def __len__(self) -> int:
        """Return the number of clients."""
        ...

    def make(self, client: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a client's inputs (n, ...) and targets (n, ...), n being its size."""
        ...


class GeneratedExamples(Examples):
    """The examples of a population, made client by client as rows are asked for.

    Client k has the rows from k · ``sizes.largest`` on, as many as its size.

    Attributes:
        population: What makes them.
    """

    population: Population

    def __init__(self, population: Population) -> None:
        self.__dict__.update(population=population, groups=None, group_names=())

    def __len__(self) -> int:
        return len(self.population) * self.population.sizes.largest

    @property
    def inputs(self) -> torch.Tensor:
        """Refuse: all of them together are never made."""
        raise _not_together()

    @property
    def targets(self) -> torch.Tensor:
        """Refuse: all of them together are never made."""
        raise _not_together()

    @property
    def shared(self) -> list[torch.Tensor]:
        """Return nothing: what is made client by client is made anew for each."""
        return []

    def take(self, rows: IntArray | torch.Tensor) -> Examples:
        """Return the examples of these rows, in this order."""
        owners, places = np.divmod(np.asarray(rows), self.population.sizes.largest)
        found = [self.population.make(int(owner)) for owner in np.unique(owners)]
        if len(found) == 1:
            inputs, targets = found[0]
            return Examples(inputs[places], targets[places])
        if not found:
            inputs, targets = self.population.make(0)
            return Examples(inputs[:0], targets[:0])
        starts = np.cumsum([0, *(len(targets) for _, targets in found)])
        index = starts[np.searchsorted(np.unique(owners), owners)] + places
        inputs, targets = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Examples(inputs[index], targets[index])

    def select(self, rows: IntArray) -> Examples:
        """Return the examples of these rows."""
        return self.take(rows)

    def targets_of(self, rows: IntArray) -> torch.Tensor:
        """Return the targets of these rows."""
        return self.take(rows).targets

    def partition(self, clients: int | None) -> GeneratedPartition:
        """Return the population, or its first clients, each with its own examples.

        Raises:
            FedlabError: If there are fewer.
        """
        wanted = len(self.population) if clients is None else clients
        if wanted > len(self.population):
            raise FedlabError(
                f"data.partition.clients: {wanted} is more than the {len(self.population)} clients "
                "of the data set (data.clients)"
            )
        return GeneratedPartition(wanted, self.population.sizes)


def _not_together() -> FedlabError:
    return FedlabError(
        "data.name: the examples of this data set are made client by client and never all at once; "
        "baselines that pool them, cross-validation and partitioners other than 'natural' need a "
        "data set that is stored"
    )


@dataclass(frozen=True)
class GeneratedPartition(Partition):
    """Clients with the examples that are made for them.

    Attributes:
        clients: The population.
        drawn: How many examples each client has.
    """

    clients: int
    drawn: VirtualSizes

    def __len__(self) -> int:
        return self.clients

    def size(self, client: int) -> int:
        """Return the number of rows that a client holds."""
        return self.drawn.of(client)

    def rows(self, client: int) -> IntArray:
        """Return the rows that a client holds."""
        start = client * self.drawn.largest
        return np.arange(start, start + self.size(client), dtype=np.int64)

    @property
    def total(self) -> int:
        """Return the number of examples that all clients together are expected to hold."""
        return self.clients * self.drawn.mean
