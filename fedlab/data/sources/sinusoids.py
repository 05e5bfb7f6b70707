"""Sinusoid regression: every client has a sine wave of its own, and few points of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.virtual import GeneratedExamples, VirtualSizes
from fedlab.registry import datasets

MOST_AMPLITUDE, LEAST_AMPLITUDE, REACH = 5.0, 0.1, 5.0


@datasets.register("sinusoids")
class Sinusoids:
    """Few points of y = A sin(x − φ), a client for each A and φ: the test of meta-learning.

    Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
    Networks", section 5.1: A is uniform in [0.1, 5], φ in [0, π], x in [−5, 5]. One model for all
    can only predict their mean, which is useless: what counts is the error on clients that never
    trained (``evaluation.unseen_clients``), after steps on 5 or 10 points. Clients are made when
    they are asked for; the server has no test set.
    """

    class Settings(DataSettings):
        """Keys of the sinusoids."""

        name: str = "sinusoids"
        clients: int = Field(10_000, ge=2, le=10**8, description="number of clients")
        examples: int = Field(20, ge=2, le=10**6, description="points of each client")

    def __init__(self, settings: Settings) -> None:
        # Only those keys of the table that workers need, in a class that they can import.
        own = type(self).Settings
        self.settings = own(**{name: getattr(settings, name) for name in own.model_fields})

    def load(self, seed: int) -> Dataset:
        """Return float32 x (1,) with float32 y (1,); no test set."""
        task = Task("regression", "tabular", (1,), 1, criterion="mean-squared-error")
        train = GeneratedExamples(Waves(self.settings, seed))
        return Dataset(task, train, Examples(torch.empty(0, 1), torch.empty(0, 1)))


@dataclass
class Waves:
    """Clients made from (seed, client) alone.

    Attributes:
        settings: Keys of the data set.
        seed: The scenario's seed.
    """

    settings: Sinusoids.Settings
    seed: int

    def __post_init__(self) -> None:
        self.sizes = VirtualSizes(self.settings.examples, 0.0, self.seed)

    def __len__(self) -> int:
        return self.settings.clients

    def make(self, client: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a client's x (n, 1) and y (n, 1), float32."""
        draw = seeding.numpy_generator(self.seed, "sinusoids", client)
        amplitude = draw.uniform(LEAST_AMPLITUDE, MOST_AMPLITUDE)
        phase = draw.uniform(0, np.pi)
        x = draw.uniform(-REACH, REACH, (self.settings.examples, 1))
        y = amplitude * np.sin(x - phase)
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.float32))
