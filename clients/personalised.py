"""The base of algorithms whose clients keep a whole model of their own next to the global one."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import model_validator

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, PersonalPart, of_global_model
from fedlab.training.task import LocalTask

OWN = "own-model"
"""Name of the client's own model in its state."""


class OwnLoopSettings(ClientSettings):
    """Keys of ``[client]`` for algorithms with their own training loop."""

    @model_validator(mode="after")
    def _never_stops_early(self) -> Self:
        if self.early_stopping is not None:
            raise ValueError(
                f"early_stopping: '{self.name}' trains two models at once and cannot stop for one "
                "of them; leave the table out"
            )
        return self


class Personalised(ClientAlgorithm):
    """A client with two models: the federated one, and one of its own.

    "accuracy" is that of its own model, "global_accuracy" that of the received one.
    """

    personal_part: ClassVar[PersonalPart] = "none"

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the client's own model and of the received one."""
        received = of_global_model(self.measured(task))
        task.network.model.weights.copy_(self.own_weights(task))
        return self.measured(task) | received

    def own_weights(self, task: LocalTask) -> torch.Tensor:
        """Return (size,) the client's own model; the received one if it never trained."""
        return task.state.get(OWN, task.received)
