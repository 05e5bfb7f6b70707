"""Reptile: a step towards where several steps of descent lead."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, of_global_model
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask


class ReptileSettings(ClientSettings):
    """Keys of ``[client]`` for Reptile, whose inner steps ``optimizer`` and ``steps`` describe."""

    name: str = "reptile"
    outer_rate: float = Field(0.5, gt=0, le=1, description="ε, the part of the way that is gone")


@clients.register("reptile")
class Reptile(ClientAlgorithm):
    """Reptile: a start near every client's own weights (Nichol, Achiam and Schulman 2018, arXiv).

    "On First-Order Meta-Learning Algorithms", Algorithm 2 (batched): client i takes k ≥ 2 steps on
    its examples from φ, which lead to φ̃ᵢ, and φ ← φ + ε mean of (φ̃ᵢ − φ). A client sends
    φ + ε (φ̃ᵢ − φ), so that the mean is that; any strategy can be used. With ε = 1 it is FedAvg.

    A client that is evaluated adapts first, by the same work: "accuracy" is that of the adapted
    model, "global_accuracy" that of φ. Running statistics of batch norm are those of φ̃ᵢ.
    """

    Settings: ClassVar[type[ClientSettings]] = ReptileSettings
    settings: ReptileSettings

    def fit(self, task: LocalTask) -> Fit:
        """Take the inner steps, then go back to φ + ε (φ̃ᵢ − φ), in place."""
        parameter = task.network.model.parameter
        begun = parameter.detach().clone()
        fitted = super().fit(task)
        with torch.no_grad():
            parameter.copy_(torch.lerp(begun, parameter.data, self.settings.outer_rate))
        return fitted

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the adapted model and of the received one."""
        received = of_global_model(self.measured(task))
        super().fit(task)
        return self.measured(task) | received
