"""MoCo v2: keys of a slow copy, and a queue of them as negatives (Chen et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.self_supervised import TargetSettings, WithTarget, outputs_under
from fedlab.registry import clients
from fedlab.training.task import LocalTask
from fedlab.training.terms import TaskLoss

QUEUE = "queue"


class MocoSettings(TargetSettings):
    """Keys of ``[client]`` for MoCo v2."""

    name: str = "moco"
    temperature: float = Field(0.2, gt=0, description="τ")
    queue: int = Field(1024, ge=1, le=10**6, description="how many keys a client keeps")


@dataclass(frozen=True)
class InfoNce:
    """−log(exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ exp(q·k⁻/τ))), both ways (He et al. 2020, equation 1).

    Attributes:
        keys: (2, N, D) the target's unit projections of the views.
        queue: (K, D) unit keys of earlier batches, the negatives.
        temperature: τ.
    """

    keys: torch.Tensor
    queue: torch.Tensor
    temperature: float

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over examples and both ways, for the projections of views (2, N, D)."""
        queries = functional.normalize(outputs, dim=-1)
        positive = (queries * self.keys.flip(0)).sum(-1, keepdim=True)
        scores = torch.cat([positive, queries @ self.queue.T], dim=-1).flatten(0, 1)
        first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        return functional.cross_entropy(scores / self.temperature, first)


@clients.register("moco")
class Moco(WithTarget):
    """MoCo v2: momentum contrast with a projection of two layers (Chen et al. 2020).

    "Momentum Contrast for Unsupervised Visual Representation Learning" (He et al. 2020, CVPR) with
    the projection and augmentation of "Improved Baselines with Momentum Contrastive Learning". The
    client's queue holds the target's keys of its own pictures alone, and begins as random unit
    vectors; queue and target stay on the client. The loss is taken both ways, as in MoCo v3; keys
    are computed from batches in their order, since a shuffle over devices needs several.
    """

    Settings: ClassVar[type[ClientSettings]] = MocoSettings
    settings: MocoSettings

    def loss_of(self, task: LocalTask, inputs: torch.Tensor, target: torch.Tensor) -> TaskLoss:
        """Return the loss against the target's keys and the queue, and put the keys into it."""
        keys = functional.normalize(outputs_under(task.network, inputs, target), dim=-1)
        queue = self._queue(task)
        newest = torch.cat([keys.flatten(0, 1), queue])[: self.settings.queue]
        task.state = {**task.state, QUEUE: newest.flatten()}
        return InfoNce(keys, queue, self.settings.temperature)

    def _queue(self, task: LocalTask) -> torch.Tensor:
        """Return the client's queue, (K, D)."""
        size = self.settings.projection[-1]
        if QUEUE in task.state:
            return task.state[QUEUE].view(-1, size)
        drawn = torch.randn(self.settings.queue, size, generator=task.generator)
        return functional.normalize(drawn.to(task.device), dim=-1)
