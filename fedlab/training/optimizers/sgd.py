"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from fedlab.registry import optimizers
from fedlab.training.optimizer import LocalOptimizer


@optimizers.register("sgd")
class Sgd(LocalOptimizer):
    """Stochastic gradient descent, plain or with (Nesterov's) momentum."""

    is_elementwise: ClassVar[bool] = True

    def build(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return SGD with the settings' momentum."""
        settings = self.settings
        return torch.optim.SGD(
            parameters, lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True
        )
