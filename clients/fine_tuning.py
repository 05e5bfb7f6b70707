"""Plain fine-tuning after FedAvg: the baseline of personalised algorithms."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, of_global_model
from fedlab.registry import clients
from fedlab.training.loop import fit
from fedlab.training.task import LocalTask


class FineTuningSettings(ClientSettings):
    """Keys of ``[client]`` if clients fine-tune the model before they use it."""

    name: str = "fine-tuning"
    tuning_epochs: int = Field(1, ge=1, description="epochs on the client's own examples")
    tuning_steps: int | None = Field(None, ge=1, description="steps, instead of epochs")


@clients.register("fine-tuning")
class FineTuning(ClientAlgorithm):
    """Fine-tuning: each client fine-tunes the global model on its own data (Wang et al. 2019).

    "Federated Evaluation of On-device Personalization" (arXiv), section 3. Training is FedAvg's.
    Whenever a client is evaluated, it first descends its task loss from the received weights wᵗ on
    its own training examples; the result is evaluated, and neither sent nor kept. Rounds that
    are not evaluated cost no more than FedAvg's.

    "accuracy" is the fine-tuned model's, "global_accuracy" that of wᵗ. Early stopping is for
    training only: here it would monitor the same part that the client is evaluated on.
    """

    Settings: ClassVar[type[ClientSettings]] = FineTuningSettings
    settings: FineTuningSettings

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the fine-tuned model and of the received one."""
        received = of_global_model(self.measured(task))
        self.tune(task)
        return self.measured(task) | received

    def tune(self, task: LocalTask) -> None:
        """Descend the objective from the current weights, in place."""
        settings = self.settings
        steps = replace(
            self.steps(task), epochs=settings.tuning_epochs, limit=settings.tuning_steps
        )
        fit(task, self.objective(task), steps)
