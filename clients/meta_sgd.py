"""Meta-SGD: the rates of adaptation are learned with the weights."""

from __future__ import annotations

from typing import ClassVar

import torch

from clients.fedmeta import FedMeta, FedMetaSettings
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.episodes import Episode
from fedlab.training.inner_loop import adapted, loss_at
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask

RATES = "rates"
"""Name of α in a client's state while it trains, and of what α was changed by in messages."""


class MetaSgdSettings(FedMetaSettings):
    """Keys of ``[client]`` for Meta-SGD; ``inner_rate`` is what all rates begin as."""

    name: str = "meta-sgd"


@clients.register("meta-sgd")
class MetaSgd(FedMeta):
    """FedMeta with Meta-SGD: a learned rate for each weight (Chen et al. 2018, arXiv).

    "Federated Meta-Learning with Fast Convergence and Efficient Communication", Algorithm 1, over
    Meta-SGD (Li et al. 2017, arXiv, equation 3): θ_u as in MAML with steps α ∘ ∇L_S, and then

        (θ, α) ← (θ, α) − β ∇_(θ, α) L_Q(θ_u)

    θ by ``optimizer``, α by plain descent at the same rate; both go to the strategy "meta-sgd",
    which averages them. All α begin as ``inner_rate``, where the papers draw them; they may become
    negative, as in the papers. Rates of weights that stay on a client are not kept.
    """

    Settings: ClassVar[type[ClientSettings]] = MetaSgdSettings
    settings: MetaSgdSettings
    required_strategy: ClassVar[str | None] = "meta-sgd"

    def rates(self, task: LocalTask) -> torch.Tensor:
        """Return (P,) α: as the client has changed it in this round, or as received."""
        if RATES in task.state:
            return task.state[RATES]
        model = task.network.model
        first = torch.full_like(model.parameter.data, self.settings.inner_rate)
        if RATES not in task.arrays:
            return first
        return first + model.layout.over_trained(task.arrays[RATES])

    def fit(self, task: LocalTask) -> Fit:
        """Take an outer step in weights and rates for each episode, in place."""
        task.state[RATES] = self.rates(task)
        return super().fit(task)

    def outer_gradient(self, task: LocalTask, episode: Episode) -> torch.Tensor:
        """Write ∇_θ L_Q(θ_u) into the model's gradient and take α's step; return L_Q(θ_u)."""
        criterion, model, settings = self.criterion(task.task), task.network.model, self.settings
        start = model.parameter.detach().clone().requires_grad_()
        alpha = self.rates(task).detach().clone().requires_grad_()
        exact = not settings.first_order
        reached = adapted(
            task, criterion, start, episode.support, alpha, settings.inner_steps, exact
        )
        loss = loss_at(task, criterion, reached, episode.query)
        of_weights, of_rates = torch.autograd.grad(loss, (start, alpha))
        model.gradient.copy_(of_weights)
        rate = settings.optimizer.lr * self.rate_factor(task)
        task.state[RATES] = alpha.detach() - rate * of_rates
        return loss.detach()

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return by how much α differs from what all rates begin as, (parameters,)."""
        layout = task.network.model.layout
        travelling = task.state[RATES][layout.wire.start - layout.trained.start :]
        return {**super().sent(task, fitted), RATES: travelling - self.settings.inner_rate}

    def kept(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return what the client keeps: none of α."""
        return {name: kept for name, kept in task.state.items() if name != RATES}
