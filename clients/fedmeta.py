"""FedMeta: a client's gradient of the loss that a model has once it is adapted (MAML)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from clients.meta_learning import MetaLearner, MetaSettings
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.episodes import Episode
from fedlab.training.inner_loop import adapted, loss_at
from fedlab.training.task import LocalTask


class FedMetaSettings(MetaSettings):
    """Keys of ``[client]`` for FedMeta."""

    name: str = "fedmeta"
    first_order: bool = Field(
        False, description="whether the gradient of adaptation counts as constant (FOMAML)"
    )


@clients.register("fedmeta")
class FedMeta(MetaLearner):
    """FedMeta with MAML or FOMAML: weights from which few steps suffice (Chen et al. 2018, arXiv).

    "Federated Meta-Learning with Fast Convergence and Efficient Communication", Algorithm 1, over
    MAML (Finn, Abbeel and Levine 2017, ICML, equation 1). With support S and query Q drawn from its
    examples, a client takes u steps θ_j = θ_{j−1} − α ∇L_S(θ_{j−1}) from θ_0 = θ and descends

        ∇_θ L_Q(θ_u)                              through all steps (MAML)
        ∇_{θ_u} L_Q(θ_u)                          with ``first_order`` (FOMAML)

    by ``optimizer``. With one episode a round (``steps = 1``) and plain sgd at the rate β the mean
    of what clients send is θ − β · mean of their gradients, the paper's server step; with β = 1 and
    the strategy "fedopt" any optimiser takes it instead.
    """

    Settings: ClassVar[type[ClientSettings]] = FedMetaSettings
    settings: FedMetaSettings

    def outer_gradient(self, task: LocalTask, episode: Episode) -> torch.Tensor:
        """Write ∇_θ L_Q(θ_u) into the model's gradient, (P,); return L_Q(θ_u)."""
        criterion, model = self.criterion(task.task), task.network.model
        start = model.parameter.detach().clone().requires_grad_()
        reached = adapted(
            task,
            criterion,
            start,
            episode.support,
            self.rates(task),
            self.settings.inner_steps,
            not self.settings.first_order,
        )
        loss = loss_at(task, criterion, reached, episode.query)
        (found,) = torch.autograd.grad(loss, start)
        model.gradient.copy_(found)
        return loss.detach()
