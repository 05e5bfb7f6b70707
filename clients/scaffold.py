"""SCAFFOLD's client: steps corrected by control variates (Karimireddy et al. 2020, ICML)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.registry import clients
from fedlab.training.accumulation import accumulated_steps, check_linear
from fedlab.training.gradient import gradient_received
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import Linear, Objective, ParameterTerm


class ScaffoldClientSettings(ClientSettings):
    """Keys of ``[client]``."""

    option: Literal["I", "II"] = Field(
        "II",
        description="source of the new control variate: I, the gradient of all examples at "
        "the received weights (another pass over them); II, the steps taken",
    )

    @model_validator(mode="after")
    def _counts_steps(self) -> ScaffoldClientSettings:
        if self.option == "II":
            check_linear(self.optimizer, self.schedule, self.clip_norm, self.early_stopping)
        return self


@clients.register("scaffold")
class Scaffold(ClientAlgorithm):
    """SCAFFOLD: control variates correct client drift (Karimireddy et al. 2020, ICML).

    Equations 3 and 4, with x and c from the server and cᵢ the client's own, at first 0:

        yᵢ ← yᵢ − η (gᵢ(yᵢ) − cᵢ + c)
        cᵢ⁺ ← gᵢ(x)                              option I
              cᵢ − c + (x − yᵢ)/(K η)            option II
        sends yᵢ and Δcᵢ = cᵢ⁺ − cᵢ

    The correction is a linear term of the objective. With momentum (the paper has none), K steps
    move a client as far as ‖a‖₁ plain ones (FedNova's accumulation), which replaces K in option II:
    cᵢ remains the client's mean gradient along its path, as in the paper. Divided by K it would be
    up to 1/(1 − β) times that, and the correction, which momentum accumulates like any gradient,
    far too large. (NIID-Bench divides by K, and corrects outside the momentum buffer, which leads
    to about the same distance over a round.)
    """

    Settings: ClassVar[type[ClientSettings]] = ScaffoldClientSettings
    required_strategy: ClassVar[str | None] = "scaffold"
    settings: ScaffoldClientSettings

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the supervised terms and ⟨c − cᵢ, w⟩."""
        correction = task.arrays["control"] - self._own(task)
        direction = task.network.model.layout.over_trained(correction)
        return [*super().parameter_terms(task), Linear(direction)]

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return yᵢ, with Δcᵢ to send and cᵢ⁺ to keep, (parameters,) each."""
        update = super().update(task, fitted)
        own, new = self._own(task), self._new(task, fitted, update.weights)
        arrays, state = {**update.arrays, "control": new - own}, {**update.state, "control": new}
        return replace(update, arrays=arrays, state=state)

    def _own(self, task: LocalTask) -> torch.Tensor:
        own = task.state.get("control")
        return torch.zeros_like(task.arrays["control"]) if own is None else own

    def _new(self, task: LocalTask, fitted: Fit, weights: torch.Tensor) -> torch.Tensor:
        """Return cᵢ⁺, or cᵢ if the client took no step."""
        own, settings = self._own(task), self.settings
        rate = settings.optimizer.lr * self.rate_factor(task)
        if fitted.steps == 0 or rate == 0:
            return own
        if settings.option == "I":
            objective = Objective(
                self.criterion(task.task), super().parameter_terms(task), self.batch_terms(task)
            )
            return gradient_received(task, objective, int(settings.batch_size))
        covered = rate * accumulated_steps(settings.optimizer, fitted.steps, rate)
        return own - task.arrays["control"] + (task.wire - weights)[: len(own)] / covered
