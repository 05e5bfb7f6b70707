"""BYOL: a view predicts what a slowly moving copy projects of the other (Grill et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.self_supervised import (
    LayerSize,
    TargetSettings,
    WithTarget,
    outputs_under,
)
from fedlab.data.dataset import Projection
from fedlab.registry import clients
from fedlab.training.criteria.agreement import distances
from fedlab.training.task import LocalTask
from fedlab.training.terms import TaskLoss


class ByolSettings(TargetSettings):
    """Keys of ``[client]`` for BYOL."""

    name: str = "byol"
    prediction: LayerSize = Field(256, description="hidden size of the predictor")


@dataclass(frozen=True)
class Prediction:
    """Σ over both ways of 2 − 2 ⟨q(z), z'⟩ / (‖q(z)‖ ‖z'‖), z' being the target's.

    Attributes:
        wanted: (2, N, D) the target's projections of the views.
    """

    wanted: torch.Tensor

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over examples, for outputs (2, N, 2 D) of the views."""
        predicted = outputs[..., self.wanted.shape[-1] :]
        return distances(predicted, self.wanted.flip(0)).sum(0).mean()


@clients.register("byol")
class Byol(WithTarget):
    """BYOL: bootstrap your own latent (Grill et al. 2020, NeurIPS), equations 1 to 3.

    The network predicts of each view what the target projects of the other one; the target follows
    as an exponential moving average. Network and predictor travel, and the target stays on its
    client.
    """

    Settings: ClassVar[type[ClientSettings]] = ByolSettings
    settings: ByolSettings

    def projection(self) -> Projection:
        """Return the projection and the predictor."""
        return Projection(self.settings.projection, (self.settings.prediction,))

    def loss_of(self, task: LocalTask, inputs: torch.Tensor, target: torch.Tensor) -> TaskLoss:
        """Return the loss against the target's projections."""
        outputs = outputs_under(task.network, inputs, target)
        return Prediction(outputs[..., : self.settings.projection[-1]])
