"""Labels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedlab.data.dataset import Task
from fedlab.data.shift import Shift, ShiftSettings
from fedlab.errors import FedlabError
from fedlab.registry import shifts

Share = Annotated[float, Field(ge=0, le=1)]


@shifts.register("labels")
class Labels(Shift):
    """Gives a share of the examples the label of the next class: what a class is changes.

    With 1, class k becomes class k + 1 and the last one the first. Of pictures it changes none:
    this is concept drift (P(y|x) changes), where the other shifts are covariate shift (P(x) does).
    """

    class Settings(ShiftSettings):
        """Keys of labels."""

        strengths: tuple[Share, ...] = Field(
            (1.0,),
            min_length=1,
            description="share of the examples whose label changes; clients take them in turn",
        )

    alters_pictures: ClassVar[bool] = False

    def __init__(self, settings: ShiftSettings, task: Task, where: str) -> None:
        super().__init__(settings, task, where)
        if task.kind != "classification":
            raise FedlabError(
                f"{where}: 'labels' changes classes, and this data set's task is {task.kind}; take "
                "a data set with classes"
            )
        self._classes = task.classes

    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the pictures as they are."""
        return pictures

    def relabelled(
        self, targets: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the targets (N,), the next class for a share of them, which only grows."""
        changes = torch.rand(targets.shape, generator=generator) < strength
        # A label that is not known stays so.
        return torch.where(changes & (targets >= 0), (targets + 1) % self._classes, targets)
