"""The base of client algorithms that learn representations from two views, without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.algorithm.setup import Setup
from fedlab.data.dataset import Projection, Task
from fedlab.data.transforms import augments
from fedlab.errors import FedlabError
from fedlab.models.network import Network
from fedlab.training.loop import Fit, all_batches, descend, gradient
from fedlab.training.losses import MeanLoss
from fedlab.training.task import LocalTask
from fedlab.training.terms import TaskLoss

LayerSize = Annotated[int, Field(ge=1, le=65536)]


class SelfSupervisedSettings(ClientSettings):
    """Keys of ``[client]`` that every self-supervised algorithm has."""

    batch_size: int = Field(128, ge=2, description="pictures per step; each has two views")
    projection: tuple[LayerSize, ...] = Field(
        (256, 128),
        min_length=1,
        description="sizes of the projection's layers, which stands in the place of the model's "
        "last layer; the last one's are compared",
    )


class SelfSupervised(ClientAlgorithm):
    """Learns from pairs of random views (``data.augmentation``) of each input, without labels.

    A projection (and a predictor) takes the place of the model's last layer; what enters it is the
    representation that is learned. A later run starts from it by ``model.pretrained``, and
    ``[evaluation.probe]`` measures what a simple classifier makes of it.
    """

    Settings: ClassVar[type[ClientSettings]] = SelfSupervisedSettings
    settings: SelfSupervisedSettings
    serves_alone: ClassVar[bool] = True

    def projection(self) -> Projection:
        """Return what takes the place of the model's last layer."""
        return Projection(self.settings.projection)

    def learned(self, own: Task) -> Task:
        """Return the task of telling which views belong together.

        Raises:
            FedlabError: If the inputs are such that no view of them can be drawn.
        """
        if own.modality != "image" or own.kind == "reconstruction":
            raise FedlabError(
                f"client.name: '{self.settings.name}' compares random views of pictures, and this "
                f"data set's task is {own.kind} on {own.modality} inputs"
            )
        projection = self.projection()
        return Task(
            "self-supervised",
            own.modality,
            own.input_shape,
            projection.outputs,
            encoding=own.encoding,
            projection=projection,
        )

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield what speaks against the run, keys without effect among it."""
        yield from super().objections(setup)
        name = self.settings.name
        if not augments(setup.scenario.data):
            yield (
                f"data.augmentation: '{name}' compares two random views of each picture, which "
                "without augmentation are the same; set further = [{ name = 'resized-crop' }, "
                "{ name = 'flip' }, { name = 'colour-jitter' }], say"
            )
        yield from unused_keys(self.settings)


class TargetSettings(SelfSupervisedSettings):
    """Keys of ``[client]`` that every algorithm with a target has."""

    momentum: float = Field(
        0.99, ge=0, le=1, description="m: after a step the target is m · target + (1 − m) · network"
    )


class WithTarget(SelfSupervised):
    """A self-supervised algorithm whose network learns from a slowly moving copy of itself.

    The copy, the *target*, is what travels of the network: after each step
    target ← m · target + (1 − m) · network. It stays on its client between rounds and begins as the
    first weights received.
    """

    Settings: ClassVar[type[ClientSettings]] = TargetSettings
    settings: TargetSettings
    TARGET: ClassVar[str] = "target"

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield what speaks against the run; its loop knows no early stopping."""
        yield from super().objections(setup)
        if self.settings.early_stopping is not None:
            yield (
                f"client.early_stopping: '{self.settings.name}' has a training loop of its own, "
                "which knows none; leave the table out"
            )

    def loss_of(self, task: LocalTask, inputs: torch.Tensor, target: torch.Tensor) -> TaskLoss:
        """Return the loss of a batch of views (2, N, ...), given the target's weights."""
        raise NotImplementedError

    def fit(self, task: LocalTask) -> Fit:
        """Descend; let the target follow after each step."""
        steps, losses, taken = self.steps(task), MeanLoss(), 0
        objective = self.objective(task)
        target = task.state.get(self.TARGET, task.wire).clone()
        model, m = task.network.model, self.settings.momentum
        task.network.train_mode()
        for inputs, targets in all_batches(task, steps):
            own = replace(objective, criterion=self.loss_of(task, inputs, target))
            losses.add(gradient(task, own, steps.clip_norm, inputs, targets), len(targets))
            descend(steps)
            target.lerp_(model.weights[model.layout.wire], 1 - m)
            taken += 1
        task.state = {**task.state, self.TARGET: target}
        return Fit(taken, steps.epochs, losses.value())


@torch.no_grad()
def outputs_under(network: Network, inputs: torch.Tensor, wire: torch.Tensor) -> torch.Tensor:
    """Return a network's outputs for views (2, N, ...) under other weights: (2, N, ...).

    Batch norm normalises over the batch, as in training, and what it keeps of it is kept in
    ``wire``.
    """
    views = network.model.layout.wire_views(wire)
    outputs = network.model.call(inputs.flatten(0, 1), views)
    return outputs.view(len(inputs), -1, *outputs.shape[1:])


def unused_keys(settings: ClientSettings) -> Iterator[str]:
    """Yield a sentence for each key of supervised training that is set and has no effect."""
    if settings.criterion != "auto":
        yield f"client.criterion: '{settings.name}' has a loss of its own; leave the key out"
    for key, unused in (("label_smoothing", 0.0), ("class_weights", "none")):
        if getattr(settings, key) != unused:
            yield f"client.{key}: '{settings.name}' looks at no labels; leave the key out"
