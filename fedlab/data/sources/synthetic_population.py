"""A population of synthetic clients of any size, none of which is stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.virtual import GeneratedExamples, VirtualSizes
from fedlab.registry import datasets

_TEST_CLIENTS = 200


@datasets.register("synthetic-population")
class SyntheticPopulation:
    """Millions of synthetic clients: a client's examples are generated on demand.

    After the synthetic data of Li et al. 2020, "Federated Optimization in Heterogeneous Networks",
    section 5.1: client k has inputs x ~ N(v_k, Σ), Σ diagonal with Σ_jj = j^(-1.2),
    v_k ~ N(B_k, 1), B_k ~ N(0, beta²), and the class argmax(W_k x + b_k). There, clients' weights
    are independent draws; here W_k = W + alpha · N(0, 1), and b_k likewise, so that clients never
    seen in training resemble the others. The test set is that of such clients.
    """

    class Settings(DataSettings):
        """Keys of the synthetic population."""

        name: str = "synthetic-population"
        clients: int = Field(1_000_000, ge=1, le=10**8, description="number of clients")
        examples: int = Field(60, ge=1, le=10**6, description="mean number of examples per client")
        size_sigma: float = Field(
            0.0,
            ge=0,
            le=3,
            description="sizes are log-normal with this standard deviation of their logarithm; 0: "
            "all equal",
        )
        features: int = Field(60, ge=1, le=10_000, description="length of an input")
        classes: int = Field(10, ge=2, le=1000, description="number of classes")
        alpha: float = Field(0.1, ge=0, description="spread of the clients' weights")
        beta: float = Field(0.5, ge=0, description="spread of the means of clients' inputs")

    def __init__(self, settings: Settings) -> None:
        # Only those keys of the table that workers need, in a class that they can import.
        own = type(self).Settings
        self.settings = own(**{name: getattr(settings, name) for name in own.model_fields})

    def load(self, seed: int) -> Dataset:
        """Return float32 inputs (features,) with classes, and a test set of 200 other clients."""
        settings = self.settings
        task = Task("classification", "tabular", (settings.features,), settings.classes)
        unseen = MadeUpClients(settings.model_copy(update={"size_sigma": 0.0}), seed, "test")
        inputs, targets = zip(
            *(unseen.make(client) for client in range(_TEST_CLIENTS)), strict=True
        )
        test = Examples(torch.cat(inputs), torch.cat(targets))
        return Dataset(task, GeneratedExamples(MadeUpClients(settings, seed, "train")), test)


@dataclass
class MadeUpClients:
    """Clients generated from (seed, part, client), around weights that all share.

    Attributes:
        settings: Keys of the data set.
        seed: The scenario's seed.
        part: "train" or "test", whose clients are disjoint.
    """

    settings: SyntheticPopulation.Settings
    seed: int
    part: str

    def __post_init__(self) -> None:
        settings = self.settings
        self.sizes = VirtualSizes(settings.examples, settings.size_sigma, self.seed)
        shape = (settings.classes, settings.features + 1)
        shared = seeding.numpy_generator(self.seed, "synthetic population", "weights")
        self._weights = shared.standard_normal(shape)
        self._deviations = np.arange(1, settings.features + 1) ** -0.6

    def __len__(self) -> int:
        return self.settings.clients

    def make(self, client: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a client's inputs (n, features) float32 and classes (n,)."""
        settings = self.settings
        generator = seeding.numpy_generator(self.seed, "synthetic population", self.part, client)
        own = self._weights + settings.alpha * generator.standard_normal(self._weights.shape)
        center = settings.beta * generator.standard_normal()
        means = center + generator.standard_normal(settings.features)
        noise = generator.standard_normal((self.sizes.of(client), settings.features))
        inputs = means + self._deviations * noise
        scores = inputs @ own[:, :-1].T + own[:, -1]
        return torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(scores.argmax(axis=1))
