"""Mixup."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab import seeding
from fedlab.data.augmentation import Change, Changed, ChangeSettings, draw_seed
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import augmentations


@augmentations.register("mixup")
class Mixup(Change):
    """Mixes each example with another of its batch (Zhang et al. 2018)."""

    class Settings(ChangeSettings):
        """Settings of mixup."""

        alpha: float = Field(0.2, gt=0, le=10, description="alpha of the Beta distribution")

    on_pictures: ClassVar[bool] = False

    def __init__(self, settings: Settings, task: Task, where: str) -> None:
        super().__init__(settings, task, where)
        if task.modality == "text" or task.kind not in ("classification", "regression"):
            raise FedlabError(
                f"{where}: it mixes numbers with one target an example, and this data "
                f"set's task is {task.kind} on {task.modality} inputs"
            )
        self._alpha = settings.alpha
        self._classes = task.outputs if task.kind == "classification" and task.outputs > 1 else 0

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return λ x + (1 − λ) x' with the targets mixed alike; one λ a batch.

        Classes become (N, classes) shares.
        """
        # torch has no Beta that takes a generator.
        draw = seeding.numpy_generator(draw_seed(generator), "mixup")
        share = draw.beta(self._alpha, self._alpha)
        other = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        if self._classes:
            targets = functional.one_hot(targets, self._classes).to(inputs.dtype)
        mixed = share * inputs + (1 - share) * inputs[other]
        return mixed, share * targets + (1 - share) * targets[other]
