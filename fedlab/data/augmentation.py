"""One random change of training batches: the contract of ``fedlab/data/augmentations``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.settings import Settings

Changed = tuple[torch.Tensor, torch.Tensor]


class ChangeSettings(Settings):
    """Keys that every table of ``[[data.augmentation.further]]`` has."""

    name: str


class Change(ABC):
    """Changes batches at random, drawing only from the generator that it is given.

    The docstring's first line says how.

    Args:
        settings: Its keys.
        task: What the batches are of.
        where: The key of the scenario that asks for it, for messages.

    Raises:
        FedlabError: If it does not suit the task.
    """

    Settings: ClassVar[type[ChangeSettings]]
    on_pictures: ClassVar[bool] = True
    """Whether it changes pictures, which it gets in the range 0..1, however they are normalised for
    the model; else it gets inputs as the model does."""

    def __init__(self, settings: ChangeSettings, task: Task, where: str) -> None:
        self.settings = settings
        self.task = task
        if self.on_pictures and task.modality != "image":
            raise FedlabError(
                f"{where}: it changes pictures, and this data set holds {task.modality} inputs"
            )

    @abstractmethod
    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return changed inputs (N, ...) of the same shape, and their targets."""


def draw_seed(generator: torch.Generator) -> int:
    """Return a seed for another source of random numbers."""
    return int(torch.randint(2**62, (), generator=generator))
