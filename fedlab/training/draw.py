"""How a batch is made from inputs and targets: the contract of ``fedlab/training/draws``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch

from fedlab.data.dataset import Task
from fedlab.registry import draws

Pair = tuple[torch.Tensor, torch.Tensor]
Augment = Callable[[torch.Tensor, torch.Tensor, torch.Generator], Pair]
"""Changes a batch's inputs and targets at random, as :class:`fedlab.data.transforms.Augmentation`
does."""


class Draw(ABC):
    """Turns prepared inputs and their stored targets into a batch. One instance serves a task.

    Args:
        task: What is learned.
    """

    views: ClassVar[int] = 1
    """How many views of each input a batch has."""
    is_plain: ClassVar[bool] = False
    """Whether a batch that is not augmented is the inputs and their stored targets as they are:
    then clients can be stacked, and inputs replaced by features that were computed of them."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @abstractmethod
    def __call__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        augment: Augment | None = None,
        generator: torch.Generator | None = None,
    ) -> Pair:
        """Return what the model is called on, and what its outputs are compared with.

        Args:
            inputs: (N, ...) prepared inputs.
            targets: (N, ...) the stored targets of these inputs.
            augment: Changes them at random in training; None in evaluation and where the scenario
                has no augmentation.
            generator: The source of every random draw; there wherever ``augment`` is.

        Returns:
            Inputs (N, ...), or (V, N, ...) for V views of each; and targets (N, ...), of which
            there is one for each of the N examples, however many views they have.
        """


def merged(inputs: torch.Tensor, views: int) -> torch.Tensor:
    """Return a batch's inputs, (N, ...) or (V, N, ...), as a model takes them: (V · N, ...)."""
    return inputs if views == 1 else inputs.flatten(0, 1)


def parted(outputs: torch.Tensor, views: int) -> torch.Tensor:
    """Return the outputs for merged inputs, (V · N, ...), by view: (V, N, ...), or (N, ...)."""
    return outputs if views == 1 else outputs.view(views, -1, *outputs.shape[1:])


def build_draw(task: Task) -> Draw:
    """Return how a task's batches are drawn.

    Raises:
        FedlabError: If the task names a draw that does not exist.
    """
    draw: Draw = draws.get(task.conventions.draw)(task)
    return draw
