"""Contrast."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedlab.data.shift import Shift, ShiftSettings
from fedlab.registry import shifts

Factor = Annotated[float, Field(ge=0, le=10)]


@shifts.register("contrast")
class Contrast(Shift):
    """Changes the contrast of pictures about each one's mean."""

    class Settings(ShiftSettings):
        """Keys of contrast."""

        strengths: tuple[Factor, ...] = Field(
            (1, 0.5, 0.2),
            min_length=1,
            description="what distances to the mean are multiplied by; clients take them in turn",
        )

    neutral = 1.0

    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return m + strength · (x − m), m being each picture's mean."""
        mean = pictures.mean((1, 2, 3), keepdim=True)
        return mean + strength * (pictures - mean)
