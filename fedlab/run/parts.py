"""What rounds are run with, put together."""

from __future__ import annotations

from typing import Protocol

import torch
from flwr.serverapp.strategy import Strategy

from fedlab.engine.base import Engine
from fedlab.models.network import Network
from fedlab.scenario import Scenario


class Parts(Protocol):
    """What rounds are run with (:class:`fedlab.run.simulation.Simulation`).

    Attributes:
        scenario: What is run.
        phases: A scenario for each phase; without phases, the scenario alone.
        phase: The present one.
        engine: Where clients run.
        network: The server's copy of the model.
        strategy: The server's algorithm.
    """

    scenario: Scenario
    phases: tuple[Scenario, ...]
    phase: Scenario
    engine: Engine
    network: Network
    strategy: Strategy

    @property
    def initial_weights(self) -> torch.Tensor: ...  # noqa: D102

    def enter(self, number: int, weights: torch.Tensor | None) -> torch.Tensor: ...  # noqa: D102
