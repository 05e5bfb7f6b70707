"""Synthetic(α, β): clients that differ in their models and in their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.registry import datasets

FEATURES, CLASSES = 60, 10
LEAST, LOG_MEAN, LOG_STD = 50, 4.0, 2.0
Array = np.ndarray[Any, np.dtype[Any]]


@datasets.register("synthetic")
class Synthetic:
    """Synthetic(α, β): softmax models and inputs that differ from client to client (FedProx).

    Li, Sahu, Zaheer, Sanjabi, Talwalkar and Smith, "Federated optimization in heterogeneous
    networks", MLSys 2020, section 5.1, after Shamir, Srebro and Zhang (ICML 2014). Client k has the
    model y = argmax(softmax(W x + b)) with W and b of entries from N(u, 1), u from N(0, α), and
    inputs x from N(v, Σ), Σ diagonal with Σⱼⱼ = j^−1.2, v of entries from N(B, 1), B from N(0, β).
    As in the authors' program, α and β are standard deviations, each client has 50 examples plus a
    number from LogNormal(4, 2), and a tenth of them are test examples.
    """

    class Settings(DataSettings):
        """Keys of the synthetic data set."""

        name: str = "synthetic"
        alpha: float = Field(1.0, ge=0, description="how much clients' models differ")
        beta: float = Field(1.0, ge=0, description="how much clients' inputs differ")
        iid: bool = Field(
            False, description="one model and one distribution of inputs for all clients"
        )
        clients: int = Field(30, ge=1, le=10_000, description="number of natural clients")
        test_fraction: float = Field(
            0.1,
            gt=0,
            lt=1,
            description="fraction of each client's examples in the server's test set",
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 inputs (N, 60) with classes; clients are the natural groups."""
        clients = self.settings.clients
        draw = seeding.numpy_generator(seed, "synthetic sizes")
        sizes = LEAST + draw.lognormal(LOG_MEAN, LOG_STD, clients).astype(int)
        shared = self._model(seeding.numpy_generator(seed, "synthetic model"), 0.0)
        parts: tuple[list[Examples], list[Examples]] = ([], [])
        names = tuple(f"client {client}" for client in range(clients))
        for client, size in enumerate(sizes.tolist()):
            generator = seeding.numpy_generator(seed, "synthetic client", client)
            inputs, targets = self._examples(generator, shared, size)
            train = int(size * (1 - self.settings.test_fraction))
            for part, rows in zip(parts, (slice(None, train), slice(train, None)), strict=True):
                groups = np.full(len(targets[rows]), client, dtype=np.int64)
                part.append(Examples(inputs[rows], targets[rows], groups, names))
        task = Task("classification", "tabular", (FEATURES,), CLASSES)
        return Dataset(task, *(_joined(part) for part in parts))

    def _examples(
        self, draw: np.random.Generator, shared: tuple[Array, Array], size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a client's inputs and classes."""
        settings = self.settings
        model_mean, input_mean = draw.normal(0, settings.alpha), draw.normal(0, settings.beta)
        center = draw.normal(input_mean, 1.0, FEATURES)
        weights, bias = self._model(draw, model_mean)
        if settings.iid:
            center, (weights, bias) = np.zeros(FEATURES), shared
        spread = np.arange(1, FEATURES + 1) ** -0.6
        inputs = center + spread * draw.standard_normal((size, FEATURES))
        targets = (inputs @ weights + bias).argmax(1)
        return torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(targets)

    def _model(self, draw: np.random.Generator, mean: float) -> tuple[Array, Array]:
        return draw.normal(mean, 1.0, (FEATURES, CLASSES)), draw.normal(mean, 1.0, CLASSES)


def _joined(parts: list[Examples]) -> Examples:
    return Examples(
        torch.cat([part.inputs for part in parts]),
        torch.cat([part.targets for part in parts]),
        np.concatenate([part.groups for part in parts if part.groups is not None]),
        parts[0].group_names,
    )
