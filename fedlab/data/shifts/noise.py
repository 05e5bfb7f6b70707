"""Noise."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedlab.data.shift import Shift, ShiftSettings
from fedlab.registry import shifts

Deviation = Annotated[float, Field(ge=0, le=10)]


@shifts.register("noise")
class Noise(Shift):
    """Adds Gaussian noise to pictures, drawn once for each."""

    class Settings(ShiftSettings):
        """Keys of noise."""

        strengths: tuple[Deviation, ...] = Field(
            (0, 0.1, 0.3),
            min_length=1,
            description="standard deviation, black being 0 and white 1; clients take them in turn",
        )

    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return x + strength · ε."""
        return pictures + strength * torch.randn(pictures.shape, generator=generator)
