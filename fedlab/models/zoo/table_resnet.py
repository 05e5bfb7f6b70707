"""A ResNet for tables.

Source: Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep learning models for tabular
data", NeurIPS 2021, section 3.2.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.registry import models


class ResidualBlock(nn.Module):
    """x + Dropout(Linear(Dropout(ReLU(Linear(BatchNorm(x)))))).

    Args:
        width: Size of x.
        hidden: Size between the two linear layers.
        hidden_dropout, residual_dropout: Rates of the inner and of the outer dropout.
    """

    def __init__(
        self, width: int, hidden: int, hidden_dropout: float, residual_dropout: float
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(hidden_dropout),
            nn.Linear(hidden, width),
            nn.Dropout(residual_dropout),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (N, width) of (N, width)."""
        added: torch.Tensor = values + self.branch(values)
        return added


@models.register("table-resnet")
class TableResNet(ZooModel):
    """ResNet for tables: residual blocks of linear layers with batch norm.

    The answer is Linear(ReLU(BatchNorm(x))). ``model.batch_norm`` says what becomes of the
    normalisation over clients; 'local' keeps it at each client.
    """

    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    class Settings(ModelSettings):
        """Settings of the ResNet for tables."""

        width: int = Field(64, ge=1, le=16384, description="size of what blocks pass on")
        layers: int = Field(2, ge=1, le=64, description="number of residual blocks")
        hidden: float = Field(2.0, gt=0, le=16, description="units within a block, per width")
        hidden_dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate within blocks")
        residual_dropout: float = Field(
            0.0, ge=0, lt=1, description="dropout rate of what a block adds"
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        width = settings.width
        hidden = max(1, round(width * settings.hidden))
        self.enter = nn.Linear(flat_size(task), width)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, hidden, settings.hidden_dropout, settings.residual_dropout)
            for _ in range(settings.layers)
        )
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, task.outputs)
        self.stages = ("enter", *(f"blocks.{number}" for number in range(settings.layers)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of features (N, F)."""
        values = self.enter(inputs.flatten(1))
        for block in self.blocks:
            values = block(values)
        outputs: torch.Tensor = self.head(self.dropout(self.norm(values).relu()))
        return outputs
