"""Worker momentum: clients send a running mean of their updates (Karimireddy et al. 2021, ICML)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask, Update
from fedlab.training.terms import ParameterTerm


class WorkerMomentumSettings(ClientSettings):
    """Keys of ``[client]`` with name = "worker-momentum"."""

    beta: float = Field(0.9, ge=0, lt=1, description="β: weight of the previous mean")


@clients.register("worker-momentum")
class WorkerMomentum(ClientAlgorithm):
    """Worker momentum: sends a running mean of its updates (Karimireddy et al. 2021, ICML).

    mₜ = (1 − β) gₜ + β mₜ₋₁ (their Algorithm 2, m₁ = g₁), which averages a client's noise over
    rounds, so that aggregators can distinguish attackers from it. Here g is the update of a round,
    which includes the learning rate; with ``steps = 1`` and plain descent it is the paper's
    gradient.
    """

    Settings: ClassVar[type[ClientSettings]] = WorkerMomentumSettings
    settings: WorkerMomentumSettings

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the supervised terms, and save the weights before training."""
        _ = task.received
        return super().parameter_terms(task)

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return the received parameters plus the running mean, (parameters,), which is kept.

        Running statistics of batch norm are the round's own.
        """
        update = super().update(task, fitted)
        layout = task.network.model.layout
        received = task.received[layout.shared_parameters]
        momentum = update.weights[: len(received)] - received
        if "momentum" in task.state:
            beta = self.settings.beta
            # Older runs kept a momentum of the statistics as well.
            momentum = (1 - beta) * momentum + beta * task.state["momentum"][: len(received)]
        update.weights = torch.cat([received + momentum, update.weights[len(received) :]])
        update.state = {**update.state, "momentum": momentum}
        return update

    def kept(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return the running mean only."""
        return {}
