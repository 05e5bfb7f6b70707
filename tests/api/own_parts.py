"""A program with a data set, model, client, strategy and processor of its own: no main guard.

    python own_parts.py ENGINE FOLDER

It is also read from standard input, and cell by cell in a notebook.
"""

import sys

import torch
from pydantic import Field

import fedlab
from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.algorithm.processing import Payload, UpdateProcessor
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import VectorStrategy, VectorStrategySettings, mean
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.training.terms import Proximal

ENGINE, FOLDER = sys.argv[1:]
SIZE = 6


def noise(seed, count):
    """Return a cell's function that a class of another cell uses."""
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


class Blobs:
    """Two clouds of points."""

    class Settings(DataSettings):
        """Keys of [data]."""

        distance: float = Field(2.0, gt=0, description="between the clouds")

    def __init__(self, settings):
        self.settings = settings

    def load(self, seed):
        """Return the points."""
        targets = torch.arange(200) % 2
        inputs = noise(seed, 200) + self.settings.distance * targets[:, None]
        task = Task("classification", "tabular", (SIZE,), 2, labels=("left", "right"))
        train, test = torch.arange(150), torch.arange(150, 200)
        return Dataset(
            task, Examples(inputs[train], targets[train]), Examples(inputs[test], targets[test])
        )


class Net(ZooModel):
    """A small network."""

    class Settings(ModelSettings):
        """Keys of [model]."""

        width: int = Field(5, ge=1, le=100, description="of the hidden layer")

    def __init__(self, settings, task):
        super().__init__(settings, task)
        self.hidden = torch.nn.Linear(flat_size(task), settings.width)
        self.head = torch.nn.Linear(settings.width, task.outputs)
        self.stages = ("hidden",)

    def forward(self, inputs):
        """Return the outputs."""
        return self.head(self.dropout(torch.tanh(self.hidden(inputs.flatten(1)))))


class PullSettings(ClientSettings):
    """Keys of [client]."""

    pull: float = Field(0.1, ge=0, description="towards the received weights")


class Pulled(ClientAlgorithm):
    """Trains near the received weights."""

    Settings = PullSettings

    def parameter_terms(self, task):
        """Return the proximal term."""
        return [*super().parameter_terms(task), Proximal(self.settings.pull, task.received)]


class HalfSettings(VectorStrategySettings):
    """Keys of [strategy]."""

    share: float = Field(0.5, gt=0, le=1, description="of the way")


class Half(VectorStrategy):
    """Goes a part of the way to the mean."""

    Settings = HalfSettings
    traits = Traits(takes_mean=True)

    def step(self, server_round, weights, replies):
        """Return the new weights."""
        return weights + self.settings.share * (mean(replies) - weights)


class Coarse(UpdateProcessor):
    """Rounds updates."""

    def encode(self, update, received, generator):
        """Return the rounded update."""
        return Payload((update * 1024).round() / 1024)

    def decode(self, payload, received):
        """Return it as it is."""
        return payload.values


run = fedlab.run(
    rounds=2,
    data={"name": Blobs, "distance": 3.0, "partition": {"name": "iid", "clients": 4}},
    model={"name": Net, "width": 7},
    client={"name": Pulled, "pull": 0.2},
    strategy={"name": Half, "share": 0.9},
    updates=[Coarse],
    engine={"name": ENGINE, **({"workers": 2} if ENGINE == "ray" else {})},
    path=FOLDER,
)
print("weights", run.summary["weights_sha256"], run.status, len(run.failures))
