"""From a scenario to a finished run: everything is put together here, and only here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from flwr.serverapp.strategy import Strategy

from fedlab import registry, seeding
from fedlab.algorithm.strategy import begin, build_strategy, traits_of
from fedlab.algorithm.vector_strategy import ServerContext, Vector
from fedlab.attacks.attack import CollusiveAttack
from fedlab.attacks.colluding import ColludingClients
from fedlab.data.federation import Federation
from fedlab.engine import batch_size
from fedlab.engine.base import Engine
from fedlab.engine.devices import CPU, here
from fedlab.engine.numerics import use_tf32
from fedlab.engine.root_data import train_on_root
from fedlab.models.layout import Layout
from fedlab.models.network import Network, load_state, whole_state
from fedlab.own_modules import own_modules
from fedlab.run.callbacks import Callback
from fedlab.run.checks import check_compatibility, check_phases, in_phase, setup_of
from fedlab.run.memory import check_memory
from fedlab.run.notes import notes_on
from fedlab.run.rounds import Rounds
from fedlab.run.running_statistics import StatisticsBeside, beside
from fedlab.run.strategy_faults import told
from fedlab.scenario import Scenario
from fedlab.scenario.parts import (
    adversary_of,
    load_federation,
    narrow_networks,
    network_of,
    public_inputs,
)
from fedlab.scenario.phases import phase_at, phases_of

for variable, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
):
    os.environ.setdefault(variable, value)
logging.getLogger("flwr").setLevel(logging.ERROR)

EngineMaker = Callable[[Scenario, Federation], Engine]


@dataclass(frozen=True)
class Assembly:
    """All of a run, or of its first phase, but its engine.

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
    """Put a run's parts together; those of all phases are tried.

    Args:
        scenario: What is run.
        federation: Its data; None loads them.

    Raises:
        FedlabError: With whatever speaks against the run, before its first round.
    """
    if scenario.module_folders is not None:
        own_modules.look_in(scenario.module_folders)
    federation = federation or load_federation(scenario)
    phases = phases_of(scenario)
    first = _assemble_phase(phases[0], federation, scenario)
    layouts, notes = [first.network.model.layout], list(first.notes)
    for number, phase in enumerate(phases[1:], 1):
        layout, own = _tried(phase, federation, scenario)
        layouts.append(layout)
        notes += [f"phases.{number}: {note}" for note in own if note not in first.notes]
    check_phases(layouts, first.network.adapted)
    return replace(first, notes=notes)


def _tried(phase: Scenario, federation: Federation, run: Scenario) -> tuple[Layout, list[str]]:
    """Put a later phase together; return its layout and notes, so that its network is freed."""
    parts = _assemble_phase(phase, federation, run)
    return parts.network.model.layout, parts.notes


def _assemble_phase(scenario: Scenario, federation: Federation, run: Scenario) -> Assembly:
    with in_phase(scenario):
        check_memory(scenario, federation.dataset.task)
        network = network_of(scenario, federation.dataset.task)
        strategy = build_strategy(scenario.strategy)
        setup = setup_of(scenario, federation, network, strategy)
        check_compatibility(setup)
    return Assembly(federation, network, strategy, notes_on(setup, run))


class Simulation:
    """A scenario with its data, network, strategy and engine, ready to run.

    Use it as a context manager: the engine's processes end with the block.

    Attributes:
        scenario: What is run.
        phases: A scenario for each phase of the run; without phases, the scenario alone.
        phase: The present one.
        federation: Its data.
        network: The server's copy of the model.
        strategy: The server's algorithm.
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
        if batch_size.is_open(scenario):
            if scenario.module_folders is not None:
                own_modules.look_in(scenario.module_folders)
            federation = federation or load_federation(scenario)
            scenario = batch_size.found(scenario, federation)
        self.scenario = scenario
        self.phases = phases_of(scenario)
        self.phase = self.phases[0]
        parts = assemble(scenario, federation)
        self.federation, self.network = parts.federation, parts.network
        self.notes = parts.notes
        self.engine: Engine = (make_engine or _engine)(scenario, self.federation)
        self.adversary = self.engine.adversary
        self.strategy = self._begun(parts.strategy)
        self.engine.settle(self.network)

    def _begun(self, strategy: Strategy) -> Strategy:
        """Return a strategy with what stands around it, and what the server has given to it."""
        layout, names = self.network.model.layout, self.scenario
        # With a strategy that begins anew, colluding clients have seen nothing yet.
        adversary = adversary_of(self.scenario, len(self.federation))
        if adversary is not None and isinstance(adversary.attack, CollusiveAttack):
            strategy = ColludingClients(
                strategy, adversary, self.scenario.seed, layout.wire_parameters
            )
        strategy = beside(strategy, layout)
        with told(names.strategy.name, names.client.name, "begin", 0):
            begin(strategy, self._server_context(strategy))
        return strategy

    def enter(self, number: int, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Go on with another phase of the run.

        Where the same weights travel as in the phase before, the strategy and the clients keep what
        they have; otherwise both begin anew.

        Args:
            number: The phase, from 0.
            weights: (wire_size,) what the present phase reached; None: the weights of the run's
                beginning.

        Returns:
            (wire_size,) the weights that the phase begins with.
        """
        before, self.phase = self.network, self.phases[number]
        self.network = network_of(self.phase, self.federation.dataset.task)
        if weights is not None:
            self._take_over(before, weights)
        same = before.model.layout == self.network.model.layout
        if not same:
            self.strategy = self._begun(build_strategy(self.scenario.strategy))
        self.engine.begin_phase(self.phase, self.network, keep_states=same)
        return self.initial_weights

    def enter_with_each(self, number: int, several: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Go on with another phase from several weights; return those that it begins with.

        Args:
            number: The phase, from 0.
            several: (wire_size,) each, as in :meth:`enter`.
        """
        before = self.network
        self.enter(number)
        return [self._take_over(before, weights) for weights in several]

    def in_present_phase(self, server_round: int, weights: torch.Tensor) -> torch.Tensor:
        """Return the weights of an earlier round as the present phase has them.

        Args:
            server_round: The round.
            weights: (wire_size,) as its phase has them.
        """
        phase = self.phases[phase_at(self.phases, server_round)]
        if phase is self.phase:
            return weights
        return self._take_over(network_of(phase, self.federation.dataset.task), weights)

    def _take_over(self, network: Network, weights: torch.Tensor) -> torch.Tensor:
        """Give the server's network the state of another phase's; return what travels of it.

        Args:
            network: The other phase's.
            weights: (wire_size,) as that one has them.
        """
        load_state(self.network, whole_state(network, weights))
        return self.initial_weights

    def _server_context(self, strategy: Strategy) -> ServerContext:
        """Return what the server has for a strategy."""
        traits = traits_of(strategy)
        # The clients' device may be on a cluster or at its sites, and not here.
        device = here(self.scenario.engine.device) or CPU
        public = None
        if traits.needs_public:
            seeding.seed_also(device)
            use_tf32(self.scenario.engine, device)
            public = public_inputs(self.phase, self.federation, self.network, device)
        return ServerContext(
            layout=self.network.model.layout,
            task=self.federation.dataset.task,
            public=public,
            train_on_root=self._training_on_root(strategy) if traits.needs_root else None,
            device=device,
            head=self.network.head,
            narrow=tuple(
                network.model.layout
                for _, network in narrow_networks(self.phase, self.federation.dataset.task)
            ),
            products=self.network.adapted.products if self.network.adapted else (),
        )

    def _training_on_root(self, strategy: Strategy) -> Callable[[int, Vector], Vector]:
        """Return training on the server's own data, of the vectors that the strategy sees."""
        train = partial(train_on_root, self.engine)
        if isinstance(strategy, StatisticsBeside):
            return strategy.trained_on_root(train)
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
        return Rounds(self, callbacks)


def _engine(scenario: Scenario, federation: Federation) -> Engine:
    settings = scenario.engine
    engine: Engine = registry.engines.get(settings.name)(settings, scenario, federation)
    return engine
