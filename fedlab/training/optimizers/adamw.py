"""AdamW."""

from __future__ import annotations

from typing import ClassVar

import torch

from fedlab.registry import optimizers
from fedlab.training.optimizers.adam import Adam


@optimizers.register("adamw")
class AdamW(Adam):
    """Adaptive moments with decoupled weight decay (Loshchilov and Hutter 2019)."""

    made: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW
