"""FedBABU: the head is not trained in federation, only when a client fine-tunes the model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from clients.fine_tuning import FineTuning, FineTuningSettings
from fedlab.algorithm.client import ClientSettings, PersonalPart
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask


class FedBabuSettings(FineTuningSettings):
    """Keys of ``[client]`` for FedBABU."""

    name: str = "fedbabu"
    tuning_epochs: int = Field(5, ge=1, description="epochs on the client's own examples")
    tuned: Literal["all", "head", "body"] = Field(
        "all", description="the part that clients fine-tune"
    )


@clients.register("fedbabu")
class FedBabu(FineTuning):
    """FedBABU: only the body is federated, then fine-tuned with a head (Oh et al. 2022, ICLR).

    "FedBABU: Toward Enhanced Representation for Federated Image Classification", Algorithm 1: in
    federation the head stays at its random initial value θ_h⁰, the same on all clients; client i
    descends its loss in the body only, θ_e ← θ_e − η ∂f_i(θ_e, θ_h⁰)/∂θ_e, and the server averages
    bodies. Before it is evaluated, a client fine-tunes body, head or both on its own examples; the
    result is neither sent nor kept.

    ``model.personal`` selects the layers of the head, which need not travel, since every client
    draws it from the scenario's seed. "accuracy" is the tuned model's, "global_accuracy" that of
    body and initial head.
    """

    Settings: ClassVar[type[ClientSettings]] = FedBabuSettings
    settings: FedBabuSettings
    personal_part: ClassVar[PersonalPart] = "head"

    def fit(self, task: LocalTask) -> Fit:
        """Train the body."""
        model = task.network.model
        with model.training(model.layout.shared_parameters):
            return super().fit(task)

    def tune(self, task: LocalTask) -> None:
        """Fine-tune the part that the settings name, in place."""
        settings = self.settings
        model = task.network.model
        parts = {
            "all": model.layout.trained,
            "head": model.layout.personal_parameters,
            "body": model.layout.shared_parameters,
        }
        with model.training(parts[settings.tuned]):
            super().tune(task)
