"""Linear units."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.registry import models


@models.register("linear")
class Linear(ZooModel):
    """Linear units y = W x + b: linear regression, or softmax regression under cross-entropy.

    Under the sum of squares, gradient descent on it is the delta rule w ← w + η (t − y) x of Widrow
    and Hoff, "Adaptive switching circuits", IRE WESCON (1960).
    """

    can_be_stacked: ClassVar[bool] = True

    class Settings(ModelSettings):
        """Settings of the linear units."""

        bias: bool = Field(True, description="add a constant to every unit")
        init_range: float | None = Field(
            None,
            ge=0,
            le=10,
            description="weights start uniform between minus and plus this; left out: 1/√inputs",
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.head = nn.Linear(flat_size(task), task.outputs, bias=settings.bias)
        if settings.init_range is not None:
            for parameter in self.head.parameters():
                nn.init.uniform_(parameter, -settings.init_range, settings.init_range)
        self.stages = ()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of inputs (N, ...)."""
        outputs: torch.Tensor = self.head(self.dropout(inputs.flatten(1)))
        return outputs
