"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from fedlab.registry import optimizers
from fedlab.training.optimizer import LocalOptimizer


@optimizers.register("adam")
class Adam(LocalOptimizer):
    """Adaptive moments (Kingma and Ba 2015)."""

    is_elementwise: ClassVar[bool] = True
    made: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    def build(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return Adam with the settings' betas and epsilon."""
        settings = self.settings
        return self.made(
            parameters, lr, settings.betas, settings.epsilon, weight_decay=0.0, fused=True
        )
