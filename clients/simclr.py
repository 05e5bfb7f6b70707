"""SimCLR: two views of a picture attract, views of others repel (Chen et al. 2020, ICML)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.self_supervised import SelfSupervised, SelfSupervisedSettings
from fedlab.data.dataset import Task
from fedlab.registry import clients
from fedlab.training.criterion import Criterion


class SimclrSettings(SelfSupervisedSettings):
    """Keys of ``[client]`` for SimCLR."""

    name: str = "simclr"
    temperature: float = Field(0.5, gt=0, description="τ")


class NtXent(Criterion):
    """The normalised temperature-scaled cross-entropy of views (Chen et al. 2020, equation 1)."""

    couples_examples: ClassVar[bool] = True

    def __init__(self, task: Task, temperature: float) -> None:
        super().__init__(task)
        self.temperature = temperature

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over all 2 N views, for the projections of views (2, N, D)."""
        return self.loss(outputs, targets)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean of −log(exp(s_ij / τ) / Σ_{k ≠ i} exp(s_ik / τ)), s the cosine."""
        count = outputs.shape[1]
        unit = functional.normalize(outputs.flatten(0, 1), dim=1)
        similarities = unit @ unit.T / self.temperature
        itself = torch.eye(2 * count, dtype=torch.bool, device=unit.device)
        similarities = similarities.masked_fill(itself, -torch.inf)
        partners = torch.arange(2 * count, device=unit.device).roll(count)
        return functional.cross_entropy(similarities, partners)


@clients.register("simclr")
class Simclr(SelfSupervised):
    """SimCLR: contrastive learning of representations (Chen et al. 2020, ICML).

    "A Simple Framework for Contrastive Learning of Visual Representations": both views z of a
    picture are each other's positive, and the other 2 (N − 1) views of the batch are negatives.
    Negatives are the client's own: a client's batch knows nothing of other clients' pictures.
    """

    Settings: ClassVar[type[ClientSettings]] = SimclrSettings
    settings: SimclrSettings
    couples_examples: ClassVar[bool] = True

    def criterion(self, task: Task) -> Criterion:
        """Return NT-Xent."""
        return NtXent(task, self.settings.temperature)
