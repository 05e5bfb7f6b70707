"""Inputs and their stored targets."""

from __future__ import annotations

from typing import ClassVar

import torch

from fedlab.registry import draws
from fedlab.training.draw import Augment, Draw, Pair


@draws.register("labelled")
class Labelled(Draw):
    """Inputs and their stored targets, both augmented."""

    is_plain: ClassVar[bool] = True

    def __call__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Pair:
        """Return inputs (N, ...) and targets (N, ...)."""
        if augment is None or generator is None:
            return inputs, targets
        return augment(inputs, targets, generator)
