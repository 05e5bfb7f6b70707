"""Size skew: random parts whose sizes grow with the client's number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fedlab.data import flower_datasets
from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition, PartitionSettings
from fedlab.registry import partitioners

if TYPE_CHECKING:
    from flwr_datasets.partitioner import Partitioner as FlowerPartitioner


class SizeSkewed:
    """Random parts whose sizes grow with the client's number, counted from 1.

    Attributes:
        library_name: The class of flwr-datasets that determines the sizes.
    """

    library_name: ClassVar[str]

    class Settings(PartitionSettings):
        """Keys of the size-skewed partitioners."""

        clients: int = Field(ge=1, le=10**8, description="number of clients")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def split(self, examples: Examples, task: Task, seed: int) -> Partition:
        """Return a partition of all examples; rounding favours the last client."""
        import flwr_datasets.partitioner as library

        clients = self.settings.clients
        flower_datasets.check_population(examples, clients)
        partitioner: FlowerPartitioner = getattr(library, self.library_name)(clients)
        return flower_datasets.partition(partitioner, len(examples), {}, seed, self._explain)

    def _explain(self, error: ValueError) -> str:
        return (
            f"data.partition.clients: with {self.settings.clients} clients the "
            f"'{self.settings.name}' split leaves the smallest less than one example; take fewer "
            "clients"
        )


@partitioners.register("linear")
class Linear(SizeSkewed):
    """Random parts; client k holds a share proportional to k."""

    library_name = "LinearPartitioner"


@partitioners.register("square")
class Square(SizeSkewed):
    """Random parts; client k holds a share proportional to k²."""

    library_name = "SquarePartitioner"


@partitioners.register("exponential")
class Exponential(SizeSkewed):
    """Random parts; client k holds a share proportional to exp(k)."""

    library_name = "ExponentialPartitioner"
