"""Blur."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedlab.data.shift import Shift, ShiftSettings
from fedlab.registry import shifts

Pixels = Annotated[float, Field(ge=0, le=50)]


@shifts.register("blur")
class Blur(Shift):
    """Blurs pictures by a Gaussian."""

    class Settings(ShiftSettings):
        """Keys of blur."""

        strengths: tuple[Pixels, ...] = Field(
            (0, 1, 2),
            min_length=1,
            description="standard deviation in pixels; clients take them in turn",
        )

    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the pictures, blurred within three standard deviations."""
        from torchvision.transforms.v2 import functional

        if strength == 0:
            return pictures
        most = 2 * min(pictures.shape[-2:]) - 1
        size = min(2 * round(3 * strength) + 1, most)
        blurred: torch.Tensor = functional.gaussian_blur(pictures, [size, size], [strength])
        return blurred
