"""APFL: each client mixes the global model with one of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from clients.personalised import OWN, OwnLoopSettings, Personalised
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Fit, Steps, all_batches, descend, gradient
from fedlab.training.losses import MeanLoss
from fedlab.training.optimizer import build_optimizer
from fedlab.training.task import LocalTask, Update

SHARE = "own-share"


class ApflSettings(OwnLoopSettings):
    """Keys of ``[client]`` for APFL."""

    name: str = "apfl"
    share: float = Field(0.5, ge=0, le=1, description="α, the own model's share at the start")
    adaptive: bool = Field(True, description="whether α is learned")


@clients.register("apfl")
class Apfl(Personalised):
    """APFL: mixtures of the global and an own model (Deng, Kamani and Mahdavi 2020).

    "Adaptive Personalized Federated Learning" (arXiv), Algorithm 1. Client i has its own model v
    and a copy w of the global one, and uses the mixture v̄ = α v + (1 − α) w. In each step,
    on one batch, w ← w − η ∇f(w) and v ← v − η ∇_v f(v̄) = v − η α ∇f(v̄), both gradients taken
    before the step. It sends w, which the server averages. If α is learned, it is updated at
    the first step of each round: α ← α − η ⟨∇f(v̄), v − w⟩, kept within [0, 1].

    v and α are kept; v starts from the first weights received. "accuracy" is that of the mixture
    with the received wᵗ, "global_accuracy" that of wᵗ; α is reported as "own_share". Running
    statistics of batch norm are each model's own, those of v̄ kept with v.
    """

    Settings: ClassVar[type[ClientSettings]] = ApflSettings
    settings: ApflSettings
    takes_parameter_groups: ClassVar[bool] = False

    def train(self, task: LocalTask) -> Update:
        """Step on both models, batch by batch."""
        model, trained = task.network.model, task.network.model.layout.trained
        local, own = task.received.clone(), super().own_weights(task).clone()
        share, objective, steps = self._share(task), self.objective(task), self.steps(task)
        own_parameter = nn.Parameter(own[trained])
        own_steps = self._steps_of(own_parameter, task, steps)
        losses, taken = MeanLoss(), 0
        task.network.train_mode()
        for inputs, targets in all_batches(task, steps):
            model.weights.copy_(_mixed(own, local, share, trained))
            gradient(task, objective, steps.clip_norm, inputs, targets)
            _copy_statistics(model.weights, own, trained)
            slope = model.gradient.clone()
            own_parameter.grad = share * slope
            if taken == 0:
                share = self._learned(share, slope, own[trained] - local[trained], steps)
            model.weights.copy_(local)
            loss = gradient(task, objective, steps.clip_norm, inputs, targets)
            _follow(steps, own_steps)
            descend(steps)
            descend(own_steps)
            local.copy_(model.weights)
            losses.add(loss, len(inputs))
            taken += 1
        update = self.update(task, Fit(taken, self.settings.epochs, losses.value()))
        update.metrics["own_share"] = share
        kept = {OWN: own, SHARE: torch.tensor([share], dtype=torch.float64)}
        update.state = {**update.state, **kept}
        return update

    def own_weights(self, task: LocalTask) -> torch.Tensor:
        """Return (size,) the mixture of the client's own model and the received one."""
        own, trained = super().own_weights(task), task.network.model.layout.trained
        return _mixed(own, task.received, self._share(task), trained)

    def _share(self, task: LocalTask) -> float:
        settings = self.settings
        return float(task.state.get(SHARE, settings.share))

    def _learned(
        self, share: float, slope: torch.Tensor, apart: torch.Tensor, steps: Steps
    ) -> float:
        """Return α − η ⟨∇f(v̄), v − w⟩ within [0, 1], or α if it is not learned."""
        settings = self.settings
        if not settings.adaptive:
            return share
        rate: float = steps.rates()[0]
        return min(1.0, max(0.0, share - rate * float(torch.dot(slope, apart))))

    def _steps_of(self, parameter: nn.Parameter, task: LocalTask, steps: Steps) -> Steps:
        optimizer = self.settings.optimizer
        return replace(
            steps, optimizer=build_optimizer(optimizer, [parameter], self.rate_factor(task))
        )


def _mixed(own: torch.Tensor, local: torch.Tensor, share: float, trained: slice) -> torch.Tensor:
    """Return α v + (1 − α) w in the trained slice, and v elsewhere."""
    mixture = own.clone()
    mixture[trained] = share * own[trained] + (1 - share) * local[trained]
    return mixture


def _copy_statistics(source: torch.Tensor, target: torch.Tensor, trained: slice) -> None:
    """Copy the values outside the trained slice."""
    target[: trained.start] = source[: trained.start]
    target[trained.stop :] = source[trained.stop :]


def _follow(leading: Steps, following: Steps) -> None:
    """Copy the learning rates, which a schedule may have changed, from one optimiser to another."""
    for group, rate in zip(following.optimizer.param_groups, leading.rates(), strict=True):
        group["lr"] = rate
