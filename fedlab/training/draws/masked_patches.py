"""Pictures of which some patches are hidden, and what these held."""

from __future__ import annotations

import torch

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import draws
from fedlab.training.draw import Augment, Draw, Pair

EVALUATED = 20221
"""Seed of what is hidden in evaluation: the same places in every round."""


@draws.register("masked-patches")
class MaskedPatches(Draw):
    """Pictures with random patches set to 0, which is the mean colour of normalised ones.

    The target of a patch is its values, and NaN where it was not hidden.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if task.masking is None:
            raise FedlabError(f"a task of kind {task.kind} does not say which patches are hidden")
        self._masking = task.masking

    def __call__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Pair:
        """Return pictures (N, C, H, W) and the values of patches, (N, patches, values)."""
        if augment is not None and generator is not None:
            inputs, _ = augment(inputs, targets, generator)
        drawn = generator or torch.Generator().manual_seed(EVALUATED)
        side, (height, width) = self._masking.patch_size, inputs.shape[-2:]
        rows, columns = height // side, width // side
        order = torch.rand(len(inputs), rows * columns, generator=drawn).argsort(1).argsort(1)
        hidden = (order < round(self._masking.share * rows * columns)).to(inputs.device)
        wanted = torch.where(hidden[..., None], patches_of(inputs, side), torch.nan)
        covered = hidden.view(-1, 1, rows, 1, columns, 1)
        covered = covered.expand(-1, 1, rows, side, columns, side).reshape(-1, 1, height, width)
        return inputs.masked_fill(covered, 0.0), wanted


def patches_of(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Return the patches of pictures (N, C, H, W), row by row: (N, patches, C · side · side)."""
    count, channels, height, width = pictures.shape
    cut = pictures.reshape(count, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * side * side)
