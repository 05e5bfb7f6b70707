"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.registry import optimizers
from fedlab.training.optimizer import LocalOptimizer, OptimizerSettings


class AdamSettings(OptimizerSettings):
    """Keys of ``[client.optimizer]`` for adaptive steps, which want a smaller rate than sgd."""

    lr: float = Field(0.001, ge=0, description="learning rate")


@optimizers.register("adam")
class Adam(LocalOptimizer):
    """Adaptive moments (Kingma and Ba 2015)."""

    Settings: ClassVar[type[OptimizerSettings]] = AdamSettings

    is_elementwise: ClassVar[bool] = True
    made: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    def build(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return Adam with the settings' betas and epsilon."""
        settings = self.settings
        return self.made(
            parameters, lr, settings.betas, settings.epsilon, weight_decay=0.0, fused=True
        )
