"""pFedMe: own models by Moreau envelopes; the global model steps towards them."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from clients.personalised import OWN, OwnLoopSettings, Personalised
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Fit, all_batches, step
from fedlab.training.losses import MeanLoss
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import Proximal


class PFedMeSettings(OwnLoopSettings):
    """Keys of ``[client]`` for pFedMe.

    ``epochs`` or ``steps`` count its local rounds, and ``optimizer`` is that of the own model.
    """

    name: str = "pfedme"
    attraction: float = Field(
        15.0, gt=0, description="λ, the strength of the pull of the own model θ towards w"
    )
    own_steps: int = Field(5, ge=1, description="K, steps of θ on each batch")
    outer_rate: float = Field(0.005, gt=0, description="η of w ← w − η λ (w − θ)")


@clients.register("pfedme")
class PFedMe(Personalised):
    """pFedMe: own models by Moreau envelopes (T Dinh, Tran and Nguyen 2020, NeurIPS).

    "Personalized Federated Learning with Moreau Envelopes", Algorithm 1. In each local round client
    i draws a batch D and takes K steps towards θ̃(w) = argmin_θ f̃(θ; D) + λ/2 ‖θ − w‖² (equation
    7), then w ← w − η λ (w − θ̃(w)). It sends w; the strategy "pfedme" averages these and
    moves a fraction β of the way. In a round θ starts from wᵗ and continues from batch to batch.

    The last θ̃ is kept: "accuracy" is that of θ̃, "global_accuracy" that of wᵗ. Running statistics of
    batch norm are those of θ.
    """

    Settings: ClassVar[type[ClientSettings]] = PFedMeSettings
    settings: PFedMeSettings

    def train(self, task: LocalTask) -> Update:
        """Step towards the envelope's minimum, batch by batch; keep θ and send w."""
        settings = self.settings
        model = task.network.model
        near = task.anchor.clone()
        objective, steps = self.objective(task), self.steps(task)
        losses, rounds = MeanLoss(), 0
        task.network.train_mode()
        for inputs, targets in all_batches(task, steps):
            pull = Proximal(settings.attraction, near)
            drawn = replace(objective, parameter_terms=[*objective.parameter_terms, pull])
            for _ in range(settings.own_steps):
                losses.add(step(task, drawn, steps, inputs, targets), len(inputs))
            far = near - model.parameter.data
            near = near - settings.outer_rate * settings.attraction * far
            rounds += 1
        own = model.weights.clone()
        model.parameter.data.copy_(near)
        update = self.update(task, Fit(rounds, settings.epochs, losses.value()))
        update.state = {**update.state, OWN: own}
        return update
