"""From a scenario to a finished run: everything is put together here, and only here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from flwr.serverapp.strategy import Strategy

from fedlab import registry
from fedlab.algorithm.strategy import begin, build_strategy, traits_of
from fedlab.algorithm.vector_strategy import ServerContext, Vector
from fedlab.attacks.attack import CollusiveAttack
from fedlab.attacks.colluding import ColludingClients
from fedlab.data.federation import Federation
from fedlab.engine.base import Engine
from fedlab.engine.root_data import train_on_root
from fedlab.models.network import Network, build_network
from fedlab.own_modules import own_modules
from fedlab.run.callbacks import Callback
from fedlab.run.checks import check_compatibility, setup_of
from fedlab.run.memory import check_memory
from fedlab.run.notes import notes_on
from fedlab.run.rounds import Rounds
from fedlab.run.running_statistics import StatisticsBeside, beside
from fedlab.run.strategy_faults import told
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation, public_inputs

for variable, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
):
    os.environ.setdefault(variable, value)
logging.getLogger("flwr").setLevel(logging.ERROR)

EngineMaker = Callable[[Scenario, Federation], Engine]


@dataclass(frozen=True)
class Assembly:
    """All of a run but its engine.

    Attributes:
        federation: The data.
        network: The server's copy of the model.
        strategy: The server's algorithm.
        notes: What the user should know before the first round, a sentence each.
    """

    federation: Federation
    network: Network
    strategy: Strategy
    notes: list[str]


def assemble(scenario: Scenario, federation: Federation | None = None) -> Assembly:
    """Put a run's parts together.

    Args:
        scenario: What is run.
        federation: Its data; None loads them.

    Raises:
        FedlabError: With whatever speaks against the run, before its first round.
    """
    if scenario.module_folders is not None:
        own_modules.look_in(scenario.module_folders)
    federation = federation or load_federation(scenario)
    check_memory(scenario, federation.dataset.task)
    network = build_network(scenario.model, federation.dataset.task, scenario.seed)
    strategy = build_strategy(scenario.strategy)
    setup = setup_of(scenario, federation, network, strategy)
    check_compatibility(setup)
    return Assembly(federation, network, strategy, notes_on(setup))


class Simulation:
    """A scenario with its data, network, strategy and engine, ready to run.

    Use it as a context manager: the engine's processes end with the block.

    Attributes:
        scenario: What is run.
        federation: Its data.
        network: The server's copy of the model.
        engine: Where clients run.
        adversary: Which clients attack, and how; None where nobody does.
        notes: What the user should know before the first round, a sentence each.
    """

    def __init__(
        self,
        scenario: Scenario,
        federation: Federation | None = None,
        make_engine: EngineMaker | None = None,
    ) -> None:
        self.scenario = scenario
        parts = assemble(scenario, federation)
        self.federation, self.network = parts.federation, parts.network
        self.strategy, self.notes = parts.strategy, parts.notes
        self.engine: Engine = (make_engine or _engine)(scenario, self.federation)
        self.adversary = self.engine.adversary
        if self.adversary is not None and isinstance(self.adversary.attack, CollusiveAttack):
            self.strategy = ColludingClients(
                self.strategy,
                self.adversary,
                scenario.seed,
                self.network.model.layout.wire_parameters,
            )
        self.strategy = beside(self.strategy, self.network.model.layout)
        with told(scenario.strategy.name, scenario.client.name, "begin", 0):
            begin(self.strategy, self._server_context())
        self.engine.settle(self.network)

    def _server_context(self) -> ServerContext:
        """Return what the server has for the strategy."""
        traits = traits_of(self.strategy)
        public = None
        if traits.needs_public:
            public = public_inputs(self.scenario, self.federation, self.network)
        return ServerContext(
            layout=self.network.model.layout,
            task=self.federation.dataset.task,
            public=public,
            train_on_root=self._training_on_root() if traits.needs_root else None,
        )

    def _training_on_root(self) -> Callable[[int, Vector], Vector]:
        """Return training on the server's own data, of the vectors that the strategy sees."""
        train = partial(train_on_root, self.engine)
        if isinstance(self.strategy, StatisticsBeside):
            return self.strategy.trained_on_root(train)
        return train

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.close()

    @property
    def initial_weights(self) -> torch.Tensor:
        """Return (wire_size,) the weights before the first round: ask before it."""
        return self.network.model.wire()

    def rounds(self, callbacks: Iterable[Callback] = ()) -> Rounds:
        """Return the rounds of this simulation, not yet begun."""
        return Rounds(
            self.scenario,
            self.engine,
            self.strategy,
            self.initial_weights,
            self.network.model.layout.fingerprint,
            callbacks,
        )


def _engine(scenario: Scenario, federation: Federation) -> Engine:
    settings = scenario.engine
    engine: Engine = registry.engines.get(settings.name)(settings, scenario, federation)
    return engine
