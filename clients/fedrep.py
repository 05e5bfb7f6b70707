"""FedRep: heads are trained first, then the representation."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, PersonalPart
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask


class FedRepSettings(ClientSettings):
    """Keys of ``[client]`` for FedRep; ``epochs`` or ``steps`` are the representation's."""

    name: str = "fedrep"
    head_epochs: int = Field(
        10, ge=1, description="epochs of the head, before those of the representation"
    )
    head_steps: int | None = Field(None, ge=1, description="steps of the head, instead of epochs")


@clients.register("fedrep")
class FedRep(ClientAlgorithm):
    """FedRep: one shared representation, a head for each client (Collins et al. 2021, ICML).

    "Exploiting Shared Representations for Personalized Federated Learning", Algorithm 1: with the
    received representation φᵗ held fixed, client i takes τ steps on its head, h_i ← GRD(f_i(h_i,
    φᵗ), h_i, α); then, with the head held fixed, it steps on the representation, φ_i ← GRD(f_i(h_i,
    φ), φ, α), and sends φ_i. The server averages the φ_i, with ``strategy.weighting`` or FedAvg's.

    ``model.personal`` selects the layers of the head. "accuracy" is that of (φᵗ⁺¹, h_i),
    "global_accuracy" that of φᵗ⁺¹ with the initial head.
    """

    Settings: ClassVar[type[ClientSettings]] = FedRepSettings
    settings: FedRepSettings
    personal_part: ClassVar[PersonalPart] = "head"

    def fit(self, task: LocalTask) -> Fit:
        """Train the head, then the representation."""
        settings = self.settings
        model = task.network.model
        layout = model.layout
        with model.training(layout.personal_parameters):
            steps = replace(
                self.steps(task), epochs=settings.head_epochs, limit=settings.head_steps
            )
            head = self.descend(task, self.objective(task), steps)
        with model.training(layout.shared_parameters):
            body = self.descend(task, self.objective(task), self.steps(task))
        return Fit(head.steps + body.steps, head.epochs + body.epochs, body.loss)
