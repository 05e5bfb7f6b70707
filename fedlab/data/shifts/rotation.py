"""Rotation."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedlab.data.shift import Shift, ShiftSettings
from fedlab.registry import shifts

Degrees = Annotated[float, Field(ge=-360, le=360)]


@shifts.register("rotation")
class Rotation(Shift):
    """Turns pictures about their centre, bilinearly; what comes into view is black.

    With 0, 15, …, 75 degrees, one a client, MNIST becomes the rotated MNIST of Ghifary et al. 2015
    ("Domain generalization for object recognition with multi-task autoencoders", ICCV), as
    DomainBed has it (Gulrajani and Lopez-Paz 2021).
    """

    class Settings(ShiftSettings):
        """Keys of rotation."""

        strengths: tuple[Degrees, ...] = Field(
            (0, 15, 30, 45, 60, 75),
            min_length=1,
            description="degrees, anticlockwise; clients take them in turn",
        )

    unit = "°"

    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the pictures, turned by ``strength`` degrees."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional

        turned: torch.Tensor = functional.rotate(
            pictures, strength, interpolation=InterpolationMode.BILINEAR
        )
        return turned
