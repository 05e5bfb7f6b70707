"""Colour."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from fedlab.data.dataset import Task
from fedlab.data.shift import Shift, ShiftSettings
from fedlab.errors import FedlabError
from fedlab.registry import shifts

Turn = Annotated[float, Field(ge=-0.5, le=0.5)]


@shifts.register("colour")
class Colour(Shift):
    """Turns the hue of colour pictures."""

    class Settings(ShiftSettings):
        """Keys of colour."""

        strengths: tuple[Turn, ...] = Field(
            (0, 0.25, 0.5),
            min_length=1,
            description="part of a turn of the colour circle; clients take them in turn",
        )

    def __init__(self, settings: ShiftSettings, task: Task, where: str) -> None:
        super().__init__(settings, task, where)
        if task.input_shape[0] != 3:
            raise FedlabError(
                f"{where}: 'colour' turns the hue, and this data set's pictures are grey; take "
                "'contrast', 'blur', 'noise' or 'rotation'"
            )

    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the pictures with their hue turned."""
        from torchvision.transforms.v2 import functional

        turned: torch.Tensor = functional.adjust_hue(pictures, strength)
        return turned
