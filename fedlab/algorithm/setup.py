"""What a scenario comes to once data, network and strategy are known, for its parts to object to.

Each part is right by itself (the schema says so). What shows only when they meet, a part says in
``objections(setup)``: before the first round rather than by every client in it. No part knows
another one's needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fedlab.data.dataset import Task
from fedlab.data.federation import Federation
from fedlab.errors import FedlabError
from fedlab.models.network import Network


@dataclass(frozen=True)
class EngineTraits:
    """What an engine says of itself.

    Attributes:
        loads_own_data: Whether clients load the scenario's data by themselves, so that they cannot
            be given another federation than the scenario's own.
        holds_root: Whether the server's own data can be trained on as a client's.
        is_deployed: Whether clients are sites of a network, to which all bytes do travel.
        adds_up: Whether replies to a strategy that takes a mean arrive as one.
    """

    loads_own_data: bool = False
    holds_root: bool = True
    adds_up: bool = True
    is_deployed: bool = False


@dataclass(frozen=True)
class Setup:
    """All parts of one run, before its first round.

    What is typed ``Any`` stands in rooms above this one.

    Attributes:
        scenario: The :class:`fedlab.scenario.Scenario`, with every part's settings.
        federation: The data, split over clients.
        network: The server's copy of the model.
        strategy: The server's algorithm, a ``flwr.serverapp.strategy.Strategy``.
        algorithm: The client algorithm.
        attack: The :class:`fedlab.attacks.attack.Attack`, or None where nobody attacks.
        engine: What the engine says of itself.
    """

    scenario: Any
    federation: Federation
    network: Network
    strategy: Any
    algorithm: Any
    attack: Any
    engine: EngineTraits

    @property
    def task(self) -> Task:
        """Return what is learned."""
        return self.federation.dataset.task

    @property
    def population(self) -> int:
        """Return the number of all clients."""
        return len(self.federation)


def raised(build: Callable[[], object]) -> Iterator[str]:
    """Yield the error that building a part raises, if any."""
    try:
        build()
    except FedlabError as error:
        yield str(error)
