"""Per-FedAvg: FedAvg on the loss after one step of each client's own."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field

from clients.meta_learning import MetaLearner, MetaSettings
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.episodes import Episode, sample
from fedlab.training.inner_loop import gradient_at, value_and_gradient_at
from fedlab.training.task import LocalTask


class PerFedAvgSettings(MetaSettings):
    """Keys of ``[client]`` for Per-FedAvg."""

    name: str = "per-fedavg"
    hessian: Literal["ignored", "differences"] = Field(
        "differences",
        description="'ignored': the first-order variant, FO; 'differences': the product with the "
        "Hessian from two gradients, HF",
    )
    delta: float = Field(0.01, gt=0, description="δ, half the distance of these two, for HF")
    inner_steps: Literal[1] = Field(1, description="the method's adaptation is one step")


@clients.register("per-fedavg")
class PerFedAvg(MetaLearner):
    """Per-FedAvg: a start from which one local step personalises (Fallah et al. 2020, NeurIPS).

    "Personalized Federated Learning with Theoretical Guarantees: A Model-Agnostic Meta-Learning
    Approach", Algorithm 1. In each of τ local iterations client i draws batches D, D′ and D″,

        w̃ = w − α ∇f(w, D)        w ← w − β (I − α ∇²f(w, D″)) ∇f(w̃, D′)

    and the server averages the w. The Hessian is left out (FO), or its product with
    v = ∇f(w̃, D′) is (∇f(w + δv, D″) − ∇f(w − δv, D″)) / 2δ (HF, equation 12). D has
    ``shots`` examples of each class, or half of ``batch_size``; D′ is the rest of the batch, and D″
    is drawn as D is, independently.
    """

    Settings: ClassVar[type[ClientSettings]] = PerFedAvgSettings
    settings: PerFedAvgSettings

    def outer_gradient(self, task: LocalTask, episode: Episode) -> torch.Tensor:
        """Write (I − α ∇²f) ∇f(w̃, D′) into the model's gradient; return the loss on D′."""
        settings, model = self.settings, task.network.model
        criterion, weights = self.criterion(task.task), model.parameter.detach().clone()
        alpha = settings.inner_rate
        near = weights - alpha * gradient_at(task, criterion, weights, episode.support)
        loss, outer = value_and_gradient_at(task, criterion, near, episode.query)
        if settings.hessian == "differences":
            third = sample(task, len(episode.support[1]), settings.shots)
            ahead = gradient_at(task, criterion, weights + settings.delta * outer, third)
            behind = gradient_at(task, criterion, weights - settings.delta * outer, third)
            outer = outer - alpha * (ahead - behind) / (2 * settings.delta)
        model.gradient.copy_(outer)
        return loss
