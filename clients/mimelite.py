"""Mime Lite's client: steps by the server's statistics (Karimireddy et al. 2021, NeurIPS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import model_validator

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.registry import clients
from fedlab.training.gradient import gradient_received
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask
from fedlab.training.terms import Linear, Objective, ParameterTerm


class MimeLiteClientSettings(ClientSettings):
    """Keys of ``[client]``."""

    @model_validator(mode="after")
    def _steps_are_plain(self) -> MimeLiteClientSettings:
        if self.optimizer.name != "sgd" or self.optimizer.momentum:
            raise ValueError(
                "the optimiser of 'mimelite' is the server's: take optimizer.name = 'sgd' and "
                "optimizer.momentum = 0, and set strategy.momentum and strategy.base_algorithm"
            )
        if self.clip_norm is not None:
            raise ValueError("clip_norm would clip the server's momentum, too; leave it out")
        return self


@clients.register("mimelite")
class MimeLite(ClientAlgorithm):
    """Mime Lite: the server's statistics in every client step (Karimireddy et al. 2021, NeurIPS).

    Algorithm 1 (MimeLite): m, v and β from the server are constant during the round,

        yᵢ ← yᵢ − η ((1 − β) gᵢ(yᵢ) + β m)                  momentum
        yᵢ ← yᵢ − η ((1 − β) gᵢ(yᵢ) + β m) / (ε + √v)       Adam; Adagrad, with β = 0

    and ∇fᵢ(x) over all of the client's examples is sent. The step is plain descent at the rate
    η (1 − β) on the objective plus ⟨β/(1 − β) m, w⟩, preconditioned by 1 / (ε + √v).
    """

    Settings: ClassVar[type[ClientSettings]] = MimeLiteClientSettings
    required_strategy: ClassVar[str | None] = "mimelite"
    takes_parameter_groups: ClassVar[bool] = False

    def rate_factor(self, task: LocalTask) -> float:
        """Return the schedule's factor times 1 − β."""
        return super().rate_factor(task) * (1 - self._beta(task))

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the supervised terms and, once there is an m, ⟨β/(1 − β) m, w⟩."""
        if "momentum" not in task.arrays:
            return super().parameter_terms(task)
        beta = self._beta(task)
        momentum = task.arrays["momentum"] * (beta / (1 - beta))
        direction = task.network.model.layout.over_trained(momentum)
        return [*super().parameter_terms(task), Linear(direction)]

    def preconditioner(self, task: LocalTask) -> torch.Tensor | None:
        """Return 1 / (ε + √v), and 1 for parameters that stay on the client; None without v."""
        if "preconditioner" not in task.arrays:
            return None
        return task.network.model.layout.over_trained(task.arrays["preconditioner"], fill=1.0)

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return ∇fᵢ(x), (parameters,)."""
        objective = Objective(
            self.criterion(task.task), super().parameter_terms(task), self.batch_terms(task)
        )
        gradient = gradient_received(task, objective, int(self.settings.batch_size))
        return {**super().sent(task, fitted), "gradient": gradient}

    def _beta(self, task: LocalTask) -> float:
        return float(task.config["momentum"])
