"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from fedlab.registry import optimizers
from fedlab.training.optimizer import LocalOptimizer, OptimizerSettings
from fedlab.training.optimizers.adam import AdamSettings


@optimizers.register("rmsprop")
class RmsProp(LocalOptimizer):
    """Gradients over their running root mean square (Tieleman and Hinton 2012)."""

    Settings: ClassVar[type[OptimizerSettings]] = AdamSettings
    is_elementwise: ClassVar[bool] = True

    def build(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return RMSprop with the settings' alpha, epsilon and momentum."""
        settings = self.settings
        return torch.optim.RMSprop(
            parameters, lr, settings.alpha, settings.epsilon, momentum=settings.momentum
        )
