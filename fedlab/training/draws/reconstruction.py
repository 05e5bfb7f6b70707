"""Inputs that are their own targets."""

from __future__ import annotations

import torch

from fedlab.registry import draws
from fedlab.training.draw import Augment, Draw, Pair


@draws.register("reconstruction")
class Reconstruction(Draw):
    """Inputs that are their own targets, as augmented; stored targets are not looked at."""

    def __call__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Pair:
        """Return inputs (N, ...) and their values, (N, values)."""
        if augment is not None and generator is not None:
            inputs, _ = augment(inputs, targets, generator)
        return inputs, inputs.flatten(1)
