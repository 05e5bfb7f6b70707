"""The interface of unlearning methods: what they get of a run, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import traits_of
from fedlab.errors import FedlabError
from fedlab.run import checkpoint
from fedlab.run.folder import RunFolder
from fedlab.run.replay import repeated
from fedlab.run.simulation import Simulation
from fedlab.run.without import Cost
from fedlab.scenario import Scenario
from fedlab.scenario.phases import phases_of
from fedlab.settings import Settings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Past:
    """A run, and who is to be forgotten.

    Attributes:
        folder: The run's folder.
        gone: The clients to be forgotten.
        rounds: How many rounds the run has.
        tell: Takes sentences on what is under way.
    """

    folder: RunFolder
    gone: frozenset[int]
    rounds: int
    tell: Progress = lambda sentence: None

    @property
    def scenario(self) -> Scenario:
        """Return what was run."""
        return self.folder.scenario

    @property
    def weights(self) -> torch.Tensor:
        """Return (wire_size,) the weights after the run's last round.

        Raises:
            FedlabError: If the run has gone on since.
        """
        saved = checkpoint.load_latest(self.folder.checkpoints, self.rounds)
        if saved is None or saved.round != self.rounds:
            raise FedlabError(f"{self.folder.path} has gone on after round {self.rounds} meanwhile")
        return torch.tensor(saved.weights)

    def again(self, scenario: Scenario | None = None) -> AbstractContextManager[Simulation]:
        """Return the run's simulation, from its beginning; nothing is written to its folder.

        Args:
            scenario: What is run; None: what was.

        Raises:
            FedlabError: If the run cannot be repeated here.
        """
        return repeated(self.folder, scenario or self.scenario)

    def last(self, count: int) -> range:
        """Return the numbers of the run's last rounds."""
        return range(self.rounds - count + 1, self.rounds + 1)


@dataclass(frozen=True)
class Unlearned:
    """What a method has made of a run's model.

    Attributes:
        weights: (wire_size,) the weights.
        cost: What it took, given what the server and the clients have kept.
        past: What it took to have again what a server that unlearns would have kept.
        lines: A line of ``metrics.jsonl`` for each of its rounds.
        figures: Further figures of the method's own, by name.
    """

    weights: torch.Tensor
    cost: Cost
    past: Cost = field(default_factory=Cost)
    lines: Sequence[dict[str, Any]] = ()
    figures: dict[str, float] = field(default_factory=dict)


class MethodSettings(Settings):
    """Keys of a method (``--set METHOD.key=value``)."""


class UnlearningMethod(ABC):
    """A way to a model that some clients have had no part in.

    Attributes:
        settings: The method's keys.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def objections(self, past: Past, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why the method cannot correct this run.

        Args:
            past: The run, and who is to be forgotten.
            setup: All parts of the run.
        """
        yield from ()

    @abstractmethod
    def unlearn(self, past: Past) -> Unlearned:
        """Return the model without the clients that are to be forgotten.

        Args:
            past: The run, and who is to be forgotten.
        """


def last_rounds(name: str, count: int, past: Past) -> Iterator[str]:
    """Yield whether a run has fewer rounds than a method would repeat at its end."""
    if count > past.rounds:
        yield (
            f"{name}.rounds: the run has {past.rounds} rounds, of which the last {count} cannot be "
            "repeated"
        )


def not_weights_alone(past: Past, setup: Setup) -> Iterator[str]:
    """Yield why a run is more than weights that are sent to clients and come back trained.

    Methods that correct the global weights leave whatever else has seen a client's data as it is.
    """
    scenario, layout = past.scenario, setup.network.model.layout
    if len(phases_of(scenario)) > 1:
        yield (
            "phases: what an earlier phase has trained stays frozen in a later one, where no "
            "update could be corrected"
        )
    if layout.personal_size:
        yield (
            "model.personal, model.batch_norm: part of the model stays on clients, and would keep "
            "what it has learned"
        )
    for key in ("updates", "downlink"):
        if getattr(scenario, key):
            yield f"{key}: clients' updates are not read as they are where they are processed"
    yield from _more_than_weights(past, setup)


def _more_than_weights(past: Past, setup: Setup) -> Iterator[str]:
    """Yield whether client or strategy keep, send or combine more than one model's weights."""
    scenario, traits = past.scenario, traits_of(setup.strategy)
    client, strategy = scenario.client.name, scenario.strategy.name
    algorithm = setup.algorithm
    if traits.several_models or traits.sub_models:
        yield f"strategy.name: '{strategy}' has several models, and one is corrected"
    elif traits.client or algorithm.required_strategy:
        yield (
            f"strategy.name, client.name: '{strategy}' and '{client}' count on what clients send "
            "beside their weights, which has seen the data, too"
        )
    elif algorithm.overrides("sent") or not algorithm.sends_weights:
        yield (
            f"client.name: clients '{client}' send more than weights, which has seen the data, too"
        )
    elif _kept_by_clients(past):
        yield (
            f"client.name: clients keep something from round to round ('{client}' does, or an "
            "attack), which stays as the forgotten client's updates have made it"
        )


def _kept_by_clients(past: Past) -> bool:
    """Return whether clients have kept anything at the end of the run."""
    saved = checkpoint.load_latest(past.folder.checkpoints)
    return saved is not None and bool(saved.clients)
