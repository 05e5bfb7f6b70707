"""Random crops of random size, brought back to the whole size."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.data.augmentation import Change, Changed, ChangeSettings
from fedlab.registry import augmentations


@augmentations.register("resized-crop")
class ResizedCrop(Change):
    """Cuts a random part out of each picture and enlarges it to the whole size."""

    class Settings(ChangeSettings):
        """Settings of random resized crops."""

        smallest: float = Field(
            0.2, gt=0, le=1, description="the least share of a picture's area that is cut out"
        )
        ratio: float = Field(
            4 / 3, ge=1, le=10, description="the most by which width and height of a part differ"
        )

    settings: Settings

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the parts (area and logarithm of the ratio even), bilinear, in the whole size.

        As torchvision's RandomResizedCrop, but for parts that would not fit: their longer side is
        cut to the picture's.
        """
        settings, count = self.settings, len(inputs)
        drawn = torch.rand(count, 4, generator=generator)
        area = settings.smallest + (1 - settings.smallest) * drawn[:, 0]
        shape = ((2 * drawn[:, 1] - 1) * math.log(settings.ratio) / 2).exp()
        width, height = (area.sqrt() * shape).clamp(max=1), (area.sqrt() / shape).clamp(max=1)
        # In the coordinates of affine_grid a picture reaches from −1 to 1.
        left, top = (2 * drawn[:, 2] - 1) * (1 - width), (2 * drawn[:, 3] - 1) * (1 - height)
        zero = torch.zeros(count)
        rows = torch.stack([width, zero, left, zero, height, top], dim=1).view(count, 2, 3)
        grid = functional.affine_grid(rows.to(inputs), list(inputs.shape), align_corners=False)
        cut = functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
        return cut, targets
