"""MOON's client: model-contrastive learning (Li et al. 2021, CVPR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.models.representation import represented
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import Batch, BatchTerm


class MoonSettings(ClientSettings):
    """Keys of ``[client]``."""

    mu: float = Field(1.0, ge=0, description="µ, the weight of the contrastive loss")
    temperature: float = Field(0.5, gt=0, description="τ")


@dataclass(frozen=True)
class ModelContrast:
    """µ ℓ_con: pulls representations towards the global model's, away from the last local one's.

    Li et al. 2021, section 3.3, with the cosine similarity sim and z of the model in training:

        ℓ_con = −log( exp(sim(z, z_glob)/τ) / (exp(sim(z, z_glob)/τ) + exp(sim(z, z_prev)/τ)) )

    Attributes:
        strength: µ.
        temperature: τ.
        previous: (wire_size,) the weights of the client's last local model.
    """

    is_mean: ClassVar[bool] = True
    strength: float
    temperature: float
    previous: torch.Tensor

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the mean over the batch's examples."""
        positive = self._similarity(batch, batch.task.wire)
        negative = self._similarity(batch, self.previous)
        # −log(e^p / (e^p + e^n)) = log(1 + e^(n − p))
        losses = functional.softplus((negative - positive) / self.temperature)
        return self.strength * losses.mean()

    def _similarity(self, batch: Batch, wire: torch.Tensor) -> torch.Tensor:
        """Return the similarity to the representations under other weights."""
        network = batch.task.network
        network.evaluation_mode()
        with torch.no_grad():
            _, theirs = represented(network, batch.inputs, wire)
        network.train_mode()
        return functional.cosine_similarity(batch.representations, theirs, dim=-1)


@clients.register("moon")
class Moon(ClientAlgorithm):
    """MOON: contrast with the global and the last local model (Li et al. 2021, CVPR).

    Adds µ ℓ_con (section 3.3) to the local objective. The representation z is the input of the
    network's head. A client that takes part for the first time has no last model and trains
    without the term. The server's side is that of FedAvg, so any strategy can be used.
    """

    Settings: ClassVar[type[ClientSettings]] = MoonSettings
    settings: MoonSettings

    def batch_terms(self, task: LocalTask) -> Sequence[BatchTerm]:
        """Return the supervised terms and, from its second round on, the contrastive one."""
        terms, previous = super().batch_terms(task), task.state.get("previous")
        if previous is None or not self.settings.mu:
            return terms
        return [*terms, ModelContrast(self.settings.mu, self.settings.temperature, previous)]

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return the weights reached, (wire_size,), and keep them as the last local model."""
        update = super().update(task, fitted)
        return replace(update, state={**update.state, "previous": update.weights})
