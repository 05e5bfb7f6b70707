"""Virtual clients: any number of them, each drawn from the data set on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from fedlab import seeding
from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.data.virtual import VirtualSizes
from fedlab.registry import partitioners


@partitioners.register("virtual")
class Virtual:
    """Any number of clients, whose rows are drawn from the data on demand.

    Clients draw independently, so several hold the same row; one client holds a row twice only
    if a class has fewer rows than the client needs of it. A client's class proportions are drawn
    from Dirichlet(alpha, ..., alpha) as in Hsu et al. 2019 ("Measuring the Effects of
    Non-Identical Data Distribution"). Memory and time do not depend on the number of clients.
    """

    class Settings(PartitionSettings):
        """Keys of the virtual partitioner."""

        name: str = "virtual"
        clients: int = Field(ge=1, le=10**8, description="number of clients")
        examples: int = Field(60, ge=1, le=10**6, description="mean number of examples per client")
        size_sigma: float = Field(
            0.0,
            ge=0,
            le=3,
            description="sizes are log-normal with this standard deviation of their logarithm; 0: "
            "all equal",
        )
        alpha: float | None = Field(
            None,
            gt=0,
            description="concentration of class proportions; default: rows are drawn uniformly",
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return a partition that draws a client's rows on demand."""
        settings = self.settings
        if settings.alpha is None:
            classes = np.zeros(len(examples), dtype=np.int64)
        else:
            classes = flower_datasets.class_numbers(examples, task, settings.name)
        return VirtualPartition(
            settings.clients,
            VirtualSizes(settings.examples, settings.size_sigma, seed),
            settings.alpha or 1.0,
            np.argsort(classes, kind="stable").astype(np.int64),
            np.concatenate([[0], np.cumsum(np.bincount(classes))]).astype(np.int64),
            seed,
        )


@dataclass(frozen=True)
class VirtualPartition(Partition):
    """Rows that are a function of (seed, client); no client is stored.

    Attributes:
        clients: Number of clients.
        drawn: Number of rows of each client.
        alpha: Concentration of the class proportions.
        order: (N,) all rows, class after class.
        starts: (classes + 1,) the start of each class in ``order``.
        seed: The scenario's seed.
    """

    clients: int
    drawn: VirtualSizes
    alpha: float
    order: IntArray
    starts: IntArray
    seed: int
    is_disjoint = False

    def __len__(self) -> int:
        return self.clients

    @property
    def total(self) -> int:
        """Return the expected number of examples of all clients."""
        return self.clients * self.drawn.mean

    def size(self, client: int) -> int:
        """Return the number of rows that a client holds."""
        return self.drawn.of(client)

    def rows(self, client: int) -> IntArray:
        """Return the rows that a client holds, class after class."""
        generator = seeding.numpy_generator(self.seed, "virtual rows", client)
        shares = generator.dirichlet(np.full(len(self.starts) - 1, self.alpha))
        counts = generator.multinomial(self.size(client), shares)
        parts = []
        for label in np.flatnonzero(counts):
            start, stop = self.starts[label], self.starts[label + 1]
            wanted = counts[label]
            picked = generator.choice(stop - start, wanted, replace=wanted > stop - start)
            parts.append(self.order[start + picked])
        return np.concatenate(parts)
