"""Random crops."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.data.augmentation import Change, Changed, ChangeSettings
from fedlab.registry import augmentations


@augmentations.register("crop")
class Crop(Change):
    """Pads each picture with black and cuts its size out at a random place."""

    class Settings(ChangeSettings):
        """Settings of random crops."""

        padding: int = Field(4, ge=1, le=256, description="pixels on every side")

    settings: Settings

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the pictures, shifted by at most ``padding`` pixels each way."""
        padding = self.settings.padding
        height, width = inputs.shape[-2:]
        padded = functional.pad(inputs, [padding] * 4)
        corners = torch.randint(2 * padding + 1, (len(inputs), 2), generator=generator).tolist()
        cut = [
            picture[:, top : top + height, left : left + width]
            for picture, (top, left) in zip(padded, corners, strict=True)
        ]
        return torch.stack(cut), targets
