"""FedNova's client: sends its change per local step (Wang et al. 2020, NeurIPS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import model_validator

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.registry import clients
from fedlab.training.accumulation import accumulated_steps, check_linear
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import ParameterTerm, Proximal


class FedNovaClientSettings(ClientSettings):
    """Keys of ``[client]``."""

    @model_validator(mode="after")
    def _counts_steps(self) -> FedNovaClientSettings:
        check_linear(self.optimizer, self.schedule, self.clip_norm, self.early_stopping)
        return self


@clients.register("fednova")
class FedNova(ClientAlgorithm):
    """FedNova: normalised averaging of unequal local work (Wang et al. 2020, NeurIPS).

    Trains as the supervised client does, with µ/2 ‖w − x‖² if the server sends µ above 0, and
    sends the change of its parameters per step, (yᵢ − x) / ‖aᵢ‖₁ = −η dᵢ, instead of the
    parameters. ‖aᵢ‖₁ is its number of steps or, with momentum or the proximal term, that of
    section 4.
    """

    Settings: ClassVar[type[ClientSettings]] = FedNovaClientSettings
    required_strategy: ClassVar[str | None] = "fednova"
    sends_weights: ClassVar[bool] = False

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the supervised terms and, with µ above 0, the proximal one."""
        terms, strength = super().parameter_terms(task), self._proximal(task)
        return [*terms, Proximal(strength, task.anchor)] if strength else terms

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return −η dᵢ with the running statistics after it, and ‖aᵢ‖₁ among the metrics."""
        update, settings = super().update(task, fitted), self.settings
        rate = settings.optimizer.lr * self.rate_factor(task)
        accumulated = accumulated_steps(
            settings.optimizer, fitted.steps, rate, self._proximal(task)
        )
        sent = update.weights.clone()
        parameters = slice(0, task.network.model.layout.wire_parameters)
        sent[parameters] = (sent - task.wire)[parameters] / (accumulated or 1.0)
        metrics = {**update.metrics, "accumulated_steps": accumulated}
        return replace(update, weights=sent, metrics=metrics)

    def _proximal(self, task: LocalTask) -> float:
        return float(task.config["proximal-mu"])
