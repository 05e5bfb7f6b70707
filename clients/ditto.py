"""Ditto: each client's own model stays near the global one."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from clients.personalised import OWN, Personalised
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Steps
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import Proximal


class DittoSettings(ClientSettings):
    """Keys of ``[client]`` for Ditto."""

    name: str = "ditto"
    attraction: float = Field(
        0.1, ge=0, description="λ, the strength of the pull towards the global model"
    )
    own_epochs: int | None = Field(
        None, ge=1, description="epochs of the client's own model; default: those of the global one"
    )


@clients.register("ditto")
class Ditto(Personalised):
    """Ditto: own models near the global one, for fairness and robustness (Li et al. 2021, ICML).

    "Ditto: Fair and Robust Federated Learning Through Personalization", Algorithm 1: client k
    descends its task loss from wᵗ and sends the result, as in FedAvg (or any other strategy's
    client); then it takes s steps on its own model, v_k ← v_k − η (∇F_k(v_k) + λ (v_k − wᵗ)).

    v_k is kept between rounds and starts from the first weights received. "accuracy" is that of
    v_k, "global_accuracy" that of wᵗ.
    """

    Settings: ClassVar[type[ClientSettings]] = DittoSettings
    settings: DittoSettings

    def train(self, task: LocalTask) -> Update:
        """Train the global model's weights, then the client's own."""
        settings = self.settings
        pull = Proximal(settings.attraction, task.anchor)
        own = self.own_weights(task)
        update = super().train(task)
        model = task.network.model
        model.weights.copy_(own)
        objective = self.objective(task)
        self.descend(
            task,
            replace(objective, parameter_terms=[*objective.parameter_terms, pull]),
            self._own_steps(task),
        )
        update.state = {**update.state, OWN: model.weights.clone()}
        return update

    def _own_steps(self, task: LocalTask) -> Steps:
        settings = self.settings
        steps = self.steps(task)
        if settings.own_epochs is None:
            return steps
        return replace(steps, epochs=settings.own_epochs, limit=None)
