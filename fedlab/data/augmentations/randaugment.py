"""RandAugment."""

from __future__ import annotations

import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.augmentation import Change, Changed, ChangeSettings, draw_seed
from fedlab.registry import augmentations


@augmentations.register("randaugment")
class RandomOperations(Change):
    """Random operations on each picture (RandAugment, Cubuk et al. 2020)."""

    class Settings(ChangeSettings):
        """Settings of RandAugment."""

        operations: int = Field(2, ge=1, le=10, description="operations a picture")
        magnitude: int = Field(9, ge=0, le=30, description="their strength")

    settings: Settings

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the pictures after their operations."""
        # torchvision takes seconds to import.
        from torchvision.transforms.v2 import RandAugment

        operation = RandAugment(self.settings.operations, self.settings.magnitude)
        # torchvision draws from torch's global generator, so that is seeded from ours.
        with seeding.scope(draw_seed(generator), "randaugment"):
            return torch.stack([operation(picture) for picture in inputs]), targets
