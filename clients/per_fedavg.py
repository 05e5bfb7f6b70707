"""Per-FedAvg: FedAvg on the loss after one step of each client's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field

from clients.meta_learning import MetaLearner, MetaSettings
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.setup import Setup
from fedlab.registry import clients
from fedlab.training.episodes import Episode, sample
from fedlab.training.inner_loop import gradient_at, value_and_gradient_at
from fedlab.training.task import LocalTask


class PerFedAvgSettings(MetaSettings):
    """Keys of ``[client]`` for Per-FedAvg."""

    name: str = "per-fedavg"
    hessian: Literal["ignored", "differences"] = Field(
        "ignored",
        description="'ignored': the first-order variant, FO; 'differences': the product with the "
        "Hessian from two gradients, HF, which takes half as long again and may diverge where "
        "batches are of few examples",
    )
    delta: float = Field(
        1e-3,
        gt=0,
        description="for HF: how far from the weights these two gradients are; further away they "
        "are beyond the kinks of rectifiers, and the product is wrong",
    )
    inner_steps: Literal[1] = Field(1, description="the method's adaptation is one step")


@clients.register("per-fedavg")
class PerFedAvg(MetaLearner):
    """Per-FedAvg: a start from which one local step personalises (Fallah et al. 2020, NeurIPS).

    "Personalized Federated Learning with Theoretical Guarantees: A Model-Agnostic Meta-Learning
    Approach", Algorithm 1. In each of τ local iterations client i draws batches D, D′ and D″,

        w̃ = w − α ∇f(w, D)        w ← w − β (I − α ∇²f(w, D″)) ∇f(w̃, D′)

    and the server averages the w. The Hessian is left out (FO), or its product with
    v = ∇f(w̃, D′) is (∇f(w + δv, D″) − ∇f(w − δv, D″)) / 2δ (HF, equation 12), with
    δ = ``delta`` / ‖v‖, so that these points are as far away whatever the length of v. D has
    ``shots`` examples of each class, or half of ``batch_size``; D′ is the rest of the batch, and D″
    is drawn as D is, independently.
    """

    Settings: ClassVar[type[ClientSettings]] = PerFedAvgSettings
    settings: PerFedAvgSettings

    def notes(self, setup: Setup) -> Iterator[str]:
        """Yield that δ does nothing where the Hessian is left out."""
        settings = self.settings
        unused = settings.hessian == "ignored"
        if unused and settings.delta != PerFedAvgSettings.model_fields["delta"].default:
            yield "client.delta has no effect: client.hessian is 'ignored'"

    def outer_gradient(self, task: LocalTask, episode: Episode) -> torch.Tensor:
        """Write (I − α ∇²f) ∇f(w̃, D′) into the model's gradient; return the loss on D′."""
        settings, model = self.settings, task.network.model
        criterion, weights = self.criterion(task.task), model.parameter.detach().clone()
        alpha = settings.inner_rate
        near = weights - alpha * gradient_at(task, criterion, weights, episode.support)
        loss, outer = value_and_gradient_at(task, criterion, near, episode.query)
        if settings.hessian == "differences":
            third = sample(task, len(episode.support[1]), settings.shots)
            delta = settings.delta / outer.norm().clamp(min=1e-12)
            ahead = gradient_at(task, criterion, weights + delta * outer, third)
            behind = gradient_at(task, criterion, weights - delta * outer, third)
            outer = outer - alpha * (ahead - behind) / (2 * delta)
        model.gradient.copy_(outer)
        return loss
