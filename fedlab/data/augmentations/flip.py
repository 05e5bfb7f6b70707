"""Random mirroring."""

from __future__ import annotations

import torch

from fedlab.data.augmentation import Change, Changed, ChangeSettings
from fedlab.registry import augmentations


@augmentations.register("flip")
class Flip(Change):
    """Mirrors half of the pictures left to right."""

    class Settings(ChangeSettings):
        """Settings of random mirroring."""

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the pictures, each mirrored with a chance of one half."""
        mirrored = (torch.rand(len(inputs), generator=generator) < 0.5).to(inputs.device)
        return torch.where(mirrored[:, None, None, None], inputs.flip(-1), inputs), targets
