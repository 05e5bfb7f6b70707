"""Two views of each input."""

from __future__ import annotations

from typing import ClassVar

import torch

from fedlab.registry import draws
from fedlab.training.draw import Augment, Draw, Pair


@draws.register("two-views")
class TwoViews(Draw):
    """Two views of each input, augmented apart, for contrastive learning without targets.

    The target of an example is its number in the batch: those of two outputs are the same where
    both are views of one input. Without augmentation, the views are equal.
    """

    views: ClassVar[int] = 2

    def __call__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Pair:
        """Return views (2, N, ...) and the numbers of the examples, (N,)."""
        pair = [inputs, inputs]
        if augment is not None and generator is not None:
            pair = [augment(inputs, targets, generator)[0] for _ in range(self.views)]
        return torch.stack(pair), torch.arange(len(inputs), device=inputs.device)
