"""Rosenblatt's perceptron."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.registry import models


@models.register("perceptron")
class Perceptron(ZooModel):
    """Threshold units on the inputs, one per output, for the perceptron criterion.

    ``forward`` gives the activations a = W x + b, because the criterion's gradient is taken through
    them; :meth:`step` gives the units' outputs o = 1 if a ≥ 0, else 0. With the perceptron
    criterion, one step of gradient descent at rate η is w ← w + η x (t − o).

    Source: Rosenblatt, "The perceptron: a probabilistic model for information storage and
    organization in the brain", Psychological Review 65 (1958).
    """

    class Settings(ModelSettings):
        """Settings of the perceptron."""

        init_range: float = Field(
            0.5, ge=0, le=10, description="weights start uniform between minus and plus this"
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.head = nn.Linear(flat_size(task), task.outputs)
        for parameter in self.head.parameters():
            nn.init.uniform_(parameter, -settings.init_range, settings.init_range)
        self.stages = ()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the activations, (N, outputs), of inputs (N, ...)."""
        activations: torch.Tensor = self.head(self.dropout(inputs.flatten(1)))
        return activations

    @torch.no_grad()
    def step(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the units' outputs, (N, outputs), each 0 or 1."""
        activations = self.forward(inputs)
        return (activations >= 0).to(activations.dtype)
