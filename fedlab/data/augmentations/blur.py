"""Random blur."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.data.augmentation import Change, Changed, ChangeSettings
from fedlab.registry import augmentations


@augmentations.register("blur")
class Blur(Change):
    """Blurs some of the pictures with a Gaussian of random width."""

    class Settings(ChangeSettings):
        """Settings of random blur."""

        least: float = Field(0.1, gt=0, le=50, description="smallest deviation, in pixels")
        most: float = Field(1.0, gt=0, le=50, description="largest deviation, in pixels")
        chance: float = Field(0.5, ge=0, le=1, description="share of pictures that are blurred")

    settings: Settings

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the pictures, some of them blurred; edges are repeated beyond the border."""
        settings, count = self.settings, len(inputs)
        drawn = torch.rand(count, 2, generator=generator).to(inputs.device)
        deviation = settings.least + (settings.most - settings.least) * drawn[:, 1]
        reach = max(1, round(3 * max(settings.least, settings.most)))
        reach = min(reach, min(inputs.shape[-2:]) - 1)
        places = torch.arange(-reach, reach + 1, device=inputs.device)
        weights = (-0.5 * (places / deviation[:, None]).square()).exp()
        weights = weights / weights.sum(1, keepdim=True)
        blurred = _along_rows(inputs, weights)
        blurred = _along_rows(blurred.mT, weights).mT
        is_blurred = (drawn[:, 0] < settings.chance)[:, None, None, None]
        return torch.where(is_blurred, blurred, inputs), targets


def _along_rows(pictures: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return pictures (N, C, H, W) convolved along W with each one's own weights (N, K)."""
    count, channels, height, width = pictures.shape
    reach = weights.shape[1] // 2
    rows = functional.pad(pictures, (reach, reach, 0, 0), mode="replicate")
    rows = rows.reshape(1, count, channels * height, width + 2 * reach)
    kernels = weights.view(count, 1, 1, -1)
    return functional.conv2d(rows, kernels, groups=count).view(count, channels, height, width)
